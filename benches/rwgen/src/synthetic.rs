//! The synthetic profiles: which series a target has, their labels, and how each behaves.
//!
//! `node` is what node_exporter looks like (counters, gauges with 0 to 3 decimals, constants, a classic histogram; ten labels,
//! about 261 bytes in a 1.0 request), `busy` has counters alone, `kubernetes` 15 to 18 labels (about 350 bytes), `histograms`
//! native histograms. Names need not be real; their lengths, numbers and behaviour matter.

use crate::native::{Form, Native};
use crate::random::mix;
use crate::request::Metadata;
use crate::universe::State;
use crate::values::{Kind, Values};

const COUNTER: u64 = 1;
const GAUGE: u64 = 2;
const HISTOGRAM: u64 = 3;

/// What is synthetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    Node,
    Busy,
    Kubernetes,
    Histograms,
}

#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Plain(Kind),
    Native(Form),
}

/// One series of each target.
#[derive(Debug)]
struct Slot {
    name: String,
    labels: Vec<(&'static str, String)>,
    behaviour: Behaviour,
    metadata: Metadata,
}

/// A synthetic profile.
#[derive(Debug)]
pub(crate) struct Synthetic {
    theme: Theme,
    seed: u64,
    slots: Vec<Slot>,
}

impl Synthetic {
    pub(crate) fn new(theme: Theme, seed: u64) -> Self {
        let slots = match theme {
            Theme::Node => node(),
            Theme::Busy => busy(),
            Theme::Kubernetes => kubernetes(),
            Theme::Histograms => histograms(),
        };
        Self { theme, seed, slots }
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn metadata(&self, slot: usize) -> &Metadata {
        &self.slots[slot].metadata
    }

    pub(crate) fn begin(&self, target: u64, incarnation: u64, slot: usize) -> State {
        let seed = mix([self.seed, target, incarnation, slot as u64]);
        match self.slots[slot].behaviour {
            Behaviour::Plain(kind) => State::Plain(Values::new(kind, seed)),
            Behaviour::Native(form) => State::Native(Box::new(Native::new(form, seed))),
        }
    }

    /// Labels, not sorted.
    pub(crate) fn labels(&self, target: u64, incarnation: u64, slot: usize) -> Vec<(String, String)> {
        let slot = &self.slots[slot];
        let bits = mix([self.seed, 77, target, incarnation]);
        let (set, pod) = (mix([self.seed, 78, target % 500]) & 0xff_ffff_ffff, bits & 0xf_ffff);
        let address = format!("10.{}.{}.{}", target >> 16 & 255, target >> 8 & 255, target & 255);
        let mut labels = vec![
            ("__name__", slot.name.clone()),
            (
                "cluster",
                if self.theme == Theme::Kubernetes {
                    "eu-1"
                } else {
                    "eu-west-1"
                }
                .to_owned(),
            ),
        ];
        match self.theme {
            Theme::Node | Theme::Busy => labels.extend([
                ("container", "node-exporter".to_owned()),
                ("endpoint", "metrics".to_owned()),
                ("instance", format!("{address}:9100")),
                ("job", "node".to_owned()),
                ("namespace", format!("mon-{:02}", target % 16)),
                ("pod", format!("node-exporter-{set:010x}-{pod:05x}")),
            ]),
            Theme::Kubernetes => labels.extend([
                ("app", "cart".to_owned()),
                ("container", "app".to_owned()),
                ("endpoint", "https".to_owned()),
                ("image", format!("shop:v2.{}", target % 500 % 7)),
                ("instance", format!("{address}:10250")),
                ("job", "kubelet".to_owned()),
                ("zone", "1a".to_owned()),
                ("namespace", format!("shop-{:02}", target % 16)),
                ("node", format!("node-{target:05}")),
                ("pod", format!("cart-{set:010x}-{pod:05x}")),
                ("tenant", "k8s".to_owned()),
                ("service", "web".to_owned()),
                ("uid", format!("{:08x}", bits >> 32)),
            ]),
            Theme::Histograms => labels.extend([
                ("instance", format!("{address}:8080")),
                ("job", "checkout".to_owned()),
                ("namespace", format!("shop-{:02}", target % 16)),
                ("pod", format!("checkout-{set:010x}-{pod:05x}")),
            ]),
        }
        let own = slot.labels.iter().map(|(name, value)| (*name, value.clone()));
        labels
            .into_iter()
            .chain(own)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// Collects slots.
struct Slots(Vec<Slot>);

impl Slots {
    fn plain(&mut self, name: &str, labels: &[(&'static str, &str)], kind: Kind) {
        let number = match kind {
            Kind::Counter { .. } | Kind::Rare { .. } => COUNTER,
            Kind::Bucket { .. } | Kind::BucketSum { .. } => HISTOGRAM,
            _ => GAUGE,
        };
        self.push(name, labels, number, Behaviour::Plain(kind));
    }

    fn push(&mut self, name: &str, labels: &[(&'static str, &str)], kind: u64, behaviour: Behaviour) {
        let family = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending).filter(|_| kind == HISTOGRAM))
            .unwrap_or(name);
        self.0.push(Slot {
            name: name.to_owned(),
            labels: labels
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            behaviour,
            metadata: Metadata {
                kind,
                help: format!("What {} counts or measures.", family.replace('_', " ")),
                unit: String::new(),
            },
        });
    }

    /// A classic histogram: ten buckets, count and sum. `others` are its labels beside `le`.
    fn classic(&mut self, family: &str, others: &[(&'static str, &str)], group: u64, most: u64) {
        const BOUNDS: [(&str, u64); 10] = [
            ("0.005", 180),
            ("0.01", 390),
            ("0.025", 620),
            ("0.05", 780),
            ("0.1", 890),
            ("0.25", 950),
            ("0.5", 985),
            ("1", 994),
            ("2.5", 999),
            ("+Inf", 1_000),
        ];
        for (bound, permille) in BOUNDS {
            let labels: Vec<_> = others.iter().copied().chain([("le", bound)]).collect();
            self.plain(
                &format!("{family}_bucket"),
                &labels,
                Kind::Bucket { group, permille, most },
            );
        }
        let permille = 1_000;
        self.plain(
            &format!("{family}_count"),
            others,
            Kind::Bucket { group, permille, most },
        );
        self.plain(&format!("{family}_sum"), others, Kind::BucketSum { group, most });
    }
}

fn counter(decimals: u8, most: u64) -> Kind {
    Kind::Counter { decimals, most }
}

fn gauge(decimals: u8, from: u64, swing: u64) -> Kind {
    Kind::Gauge { decimals, from, swing }
}

/// 100 series.
fn node() -> Vec<Slot> {
    let mut slots = Slots(Vec::new());
    for cpu in ["0", "1", "2", "3"] {
        for (mode, kind) in [
            ("idle", counter(2, 1_500)),
            ("user", counter(2, 200)),
            ("system", counter(2, 80)),
            ("iowait", counter(2, 6)),
            ("softirq", counter(2, 3)),
            ("nice", Kind::Rare { one_in: 20, most: 2 }),
            ("steal", Kind::Constant(0.0)),
            ("irq", Kind::Constant(0.0)),
        ] {
            slots.plain("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], kind);
        }
    }
    for device in ["eth0", "eth1", "lo", "cni0"] {
        for (what, kind) in [
            ("receive_bytes_total", counter(0, 4_000_000)),
            ("transmit_packets_total", counter(0, 3_000)),
            ("receive_drop_total", Kind::Rare { one_in: 40, most: 9 }),
            ("transmit_errs_total", Kind::Constant(0.0)),
        ] {
            slots.plain(
                &format!("node_network_{what}"),
                &[("device", device), ("direction", "both")],
                kind,
            );
        }
    }
    for device in ["nvme0n1", "nvme1n1", "dm-0"] {
        for (what, kind) in [
            ("reads_completed_total", counter(0, 60)),
            ("written_bytes_total", counter(0, 900_000)),
            ("io_time_seconds_total", counter(3, 2_500)),
            ("io_now", gauge(0, 3, 1)),
        ] {
            slots.plain(
                &format!("node_disk_{what}"),
                &[("device", device), ("path", "pci-0")],
                kind,
            );
        }
    }
    for mount in ["/", "/var/lib/data"] {
        let labels = [("device", "/dev/dm-0"), ("mountpoint", mount)];
        let free = Kind::Bytes {
            pages: 9_000_000,
            swing: 4_000,
        };
        slots.plain("node_filesystem_avail_bytes", &labels, free);
        slots.plain("node_filesystem_files_free", &labels, gauge(0, 3_000_000, 40));
        slots.plain("node_filesystem_size_bytes", &labels, Kind::Constant(105_089_261_568.0));
        slots.plain("node_filesystem_readonly", &labels, Kind::Constant(0.0));
    }
    let memory = [("area", "system"), ("source", "meminfo")];
    for what in ["MemAvailable", "Cached", "Active", "Dirty", "Slab", "AnonPages"] {
        let kind = Kind::Bytes {
            pages: 400_000,
            swing: 900,
        };
        slots.plain(&format!("node_memory_{what}_bytes"), &memory, kind);
    }
    slots.plain("node_memory_MemTotal_bytes", &memory, Kind::Constant(16_624_660_480.0));
    slots.plain("node_memory_HugePages_Total", &memory, Kind::Constant(0.0));
    for load in ["node_load1", "node_load5", "node_load15"] {
        slots.plain(load, &[("area", "system"), ("source", "loadavg")], gauge(2, 180, 12));
    }
    for (sensor, decimals) in [("temp1", 0), ("temp2", 1), ("temp3", 3)] {
        let units = 50 * 10_u64.pow(decimals);
        let labels = [("chip", "platform_coretemp_0"), ("sensor", sensor)];
        slots.plain(
            "node_hwmon_temp_celsius",
            &labels,
            gauge(decimals as u8, units, 1 + units / 40),
        );
    }
    slots.classic("node_exporter_scrape_seconds", &[("collector", "all")], 1, 400);
    let about = [("area", "target"), ("source", "scrape")];
    slots.plain("scrape_duration_seconds", &about, Kind::Duration);
    slots.plain("scrape_samples_scraped", &about, Kind::Constant(100.0));
    slots.plain("node_procs_running", &about, gauge(0, 4, 2));
    slots.plain("node_context_switches_total", &about, counter(0, 90_000));
    slots.plain("node_forks_total", &about, counter(0, 90));
    slots.plain("node_boot_time_seconds", &about, Kind::Constant(1_763_610_432.0));
    slots.0
}

/// 50 series.
fn busy() -> Vec<Slot> {
    let mut slots = Slots(Vec::new());
    for number in 0..50_usize {
        let labels = [
            ("device", format!("queue-{:02}", number % 10)),
            ("path", format!("/o/{number:02}")),
        ];
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        let most = [10, 100, 1_000, 10_000][number % 4];
        slots.plain(
            &format!("shop_requests_{:02}_total", number / 5),
            &labels,
            counter(0, most),
        );
    }
    slots.0
}

/// 60 series; 15 labels common to all, and up to three more.
fn kubernetes() -> Vec<Slot> {
    let mut slots = Slots(Vec::new());
    for number in ["0", "1", "2", "3"] {
        let cpu = format!("cpu{number}");
        slots.plain(
            "container_cpu_usage_seconds_total",
            &[("cpu", &cpu)],
            counter(9, 4_000_000_000),
        );
        slots.plain(
            "container_cpu_cfs_throttled_periods_total",
            &[("cpu", &cpu)],
            Kind::Rare { one_in: 9, most: 5 },
        );
    }
    for what in ["usage_bytes", "working_set_bytes", "rss", "cache", "mapped_file"] {
        let kind = Kind::Bytes {
            pages: 90_000,
            swing: 200,
        };
        slots.plain(&format!("container_memory_{what}"), &[], kind);
    }
    for interface in ["eth0", "eth1"] {
        for what in ["receive_bytes", "transmit_bytes", "receive_packets", "transmit_packets"] {
            slots.plain(
                &format!("container_network_{what}_total"),
                &[("interface", interface)],
                counter(0, 70_000),
            );
        }
        slots.plain(
            "container_network_receive_errors_total",
            &[("interface", interface)],
            Kind::Constant(0.0),
        );
    }
    for resource in ["cpu", "memory", "ephemeral_storage"] {
        let labels = [("resource", resource), ("unit", "core")];
        slots.plain("kube_pod_container_resource_requests", &labels, Kind::Constant(2.0));
        slots.plain("kube_pod_container_resource_limits", &labels, Kind::Constant(4.0));
    }
    for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
        let value = f64::from(u8::from(phase == "Running"));
        slots.plain("kube_pod_status_phase", &[("phase", phase)], Kind::Constant(value));
    }
    let request = [("method", "GET"), ("status", "200")];
    slots.classic("http_server_seconds", &request, 1, 900);
    slots.classic("http_client_seconds", &request, 2, 60);
    slots.plain(
        "kube_pod_container_status_restarts_total",
        &[],
        Kind::Rare { one_in: 900, most: 2 },
    );
    slots.plain("process_open_fds", &[], gauge(0, 80, 4));
    slots.0
}

/// 20 series: 13 counters with integers, four rates with floats, three gauges.
fn histograms() -> Vec<Slot> {
    let mut slots = Slots(Vec::new());
    for number in 0..20_usize {
        let form = Form {
            is_float: (13..17).contains(&number) || number == 19,
            is_gauge: number >= 17,
            has_negative: number % 5 == 4,
            schema: [3, 3, 5, 0, -1][number % 5],
        };
        let (path, status) = (format!("/orders/{number:02}"), ["200", "404", "500"][number % 3]);
        let name = match number {
            0..13 => "http_request_duration_seconds",
            13..17 => "route:http_request_duration_seconds:rate5m",
            _ => "queue_waiting_seconds",
        };
        // GAUGEHISTOGRAM
        let kind = if form.is_gauge { 5 } else { HISTOGRAM };
        slots.push(
            name,
            &[("handler", &path), ("status", status)],
            kind,
            Behaviour::Native(form),
        );
    }
    slots.0
}
