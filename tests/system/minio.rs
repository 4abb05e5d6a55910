//! A MinIO of a test: a server of its own with its own data folder on a loopback port, and the users, rights and requests that tests need with it.
//!
//! Built by `tests/peers/build minio`. A test that is dropped ends its server by its process id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;
use tokio::task::JoinHandle;

use crate::process::{Process, eventually, free_port, output, peer, signal};
use crate::wire::{self, LabelSet, Samples, V1_TYPE};

/// Version folder of the MinIO of these tests.
const VERSION: &str = "minio-2026-02-12";

/// Who may do everything in it.
pub(crate) const ROOT: (&str, &str) = ("root-of-tests", "secret-of-tests");

/// The bucket that every test has.
pub(crate) const BUCKET: &str = "archive";

/// A running MinIO with an empty bucket.
pub(crate) struct Minio {
    process: Option<Process>,
    port: u16,
    directory: PathBuf,
    certificates: Option<PathBuf>,
}

impl Minio {
    /// Starts it on a new folder and makes the bucket.
    pub(crate) async fn start(directory: &Path) -> Result<Self> {
        let minio = Self::started(directory, None).await?;
        minio.administer(&["bucket", BUCKET])?;
        Ok(minio)
    }

    /// Starts it with TLS, with a certificate by a CA that nobody knows; the bucket is made beside it.
    pub(crate) async fn start_with_tls(directory: &Path) -> Result<Self> {
        let certificates = directory.join("certificates");
        std::fs::create_dir_all(&certificates)?;
        let mut make = Command::new(peer(&format!("{VERSION}/minioadmin"))?);
        output(make.args(["127.0.0.1", "certificate"]).arg(&certificates))?;
        // One disk without parity: a folder is a bucket.
        let mut plain = Self::start(directory).await?;
        plain.stop()?;
        Self::started(directory, Some(certificates)).await
    }

    async fn started(directory: &Path, certificates: Option<PathBuf>) -> Result<Self> {
        let mut minio = Self {
            process: None,
            port: free_port()?,
            directory: directory.to_owned(),
            certificates,
        };
        minio.resume().await?;
        Ok(minio)
    }

    /// Starts it again after [`Minio::stop`], on the same folder and port.
    pub(crate) async fn resume(&mut self) -> Result<()> {
        let mut command = Command::new(peer(&format!("{VERSION}/minio"))?);
        command
            .args(["server", "--quiet", "--address"])
            .arg(format!("127.0.0.1:{}", self.port))
            .arg("--console-address")
            .arg(format!("127.0.0.1:{}", free_port()?))
            // Otherwise it finds the certificates of whoever runs the test.
            .arg("--certs-dir")
            .arg(self.certificates.clone().unwrap_or_else(|| self.directory.join("none")))
            .arg(self.directory.join("disk"))
            .env("MINIO_ROOT_USER", ROOT.0)
            .env("MINIO_ROOT_PASSWORD", ROOT.1)
            .env("MINIO_BROWSER", "off")
            // A small disk is as good as a large one here.
            .env("MINIO_CI_CD", "1");
        self.process = Some(Process::start("minio", &mut command)?);
        if self.certificates.is_some() {
            // Nobody here trusts it: a connection is enough.
            let address = format!("127.0.0.1:{}", self.port);
            return eventually(|| async {
                tokio::net::TcpStream::connect(&address).await?;
                Ok(())
            })
            .await;
        }
        let (client, url) = (
            wire::client(),
            format!("http://127.0.0.1:{}/minio/health/ready", self.port),
        );
        eventually(|| async {
            let status = client.get(&url).send().await?.status();
            ensure!(status.is_success(), "MinIO answers {status}");
            Ok(())
        })
        .await
    }

    /// Ends it; connections are refused from now on.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let process = self.process.take().context("it does not run")?;
        process.terminate().map(drop)
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Nothing is answered any more, and connections stay open: requests hang wherever they are.
    pub(crate) fn freeze(&self) -> Result<()> {
        signal(self.process.as_ref().context("it does not run")?.pid(), "STOP")
    }

    /// Everything that hung goes on.
    pub(crate) fn thaw(&self) -> Result<()> {
        signal(self.process.as_ref().context("it does not run")?.pid(), "CONT")
    }

    /// Runs `minioadmin`.
    fn administer(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(peer(&format!("{VERSION}/minioadmin"))?);
        command
            .arg(format!("127.0.0.1:{}", self.port))
            .args(arguments)
            .env("MINIO_ROOT_USER", ROOT.0)
            .env("MINIO_ROOT_PASSWORD", ROOT.1);
        output(&mut command).map(drop)
    }

    /// A user who may do what a policy says, in the form of `deploy/iam`; its secret is its name twice.
    pub(crate) fn user(&self, name: &str, policy: &str) -> Result<()> {
        self.administer(&["user", name, &name.repeat(2)])?;
        self.allow(name, policy)
    }

    /// The user may do exactly this from now on.
    pub(crate) fn allow(&self, name: &str, policy: &str) -> Result<()> {
        let file = self.directory.join(format!("{name}.json"));
        std::fs::write(&file, policy.replace("BUCKET", BUCKET))?;
        self.administer(&["policy", name, file.to_str().context("a path in UTF-8")?])
    }

    /// The flag that names the bucket, with the keys of a user or of [`ROOT`].
    pub(crate) fn objstore(&self, key: &str, secret: &str) -> String {
        self.objstore_at(self.port, key, secret)
    }

    /// The flag with all rights that speaks to another port, which stands for this server's.
    pub(crate) fn objstore_through(&self, port: u16) -> String {
        self.objstore_at(port, ROOT.0, ROOT.1)
    }

    fn objstore_at(&self, port: u16, key: &str, secret: &str) -> String {
        let tls = match &self.certificates {
            Some(directory) => format!(
                "http_config: {{tls_config: {{ca_file: '{}'}}}}",
                directory.join("ca.crt").display()
            ),
            None => "insecure: true".to_owned(),
        };
        format!(
            "--objstore.config={{type: S3, config: {{bucket: {BUCKET}, endpoint: '127.0.0.1:{port}', access_key: {key}, secret_key: {secret}, {tls}}}}}"
        )
    }

    /// The flag with all rights.
    pub(crate) fn objstore_of_root(&self) -> String {
        self.objstore(ROOT.0, ROOT.1)
    }

    /// The flag with the rights of a user.
    pub(crate) fn objstore_of(&self, user: &str) -> String {
        self.objstore(user, &user.repeat(2))
    }
}

/// A process that hangs does not end by itself.
impl Drop for Minio {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            let _ = signal(process.pid(), "CONT");
        }
    }
}

/// A policy of `deploy/iam`.
pub(crate) fn policy(role: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("deploy/iam/{role}.json"));
    std::fs::read_to_string(&file).with_context(|| format!("`{}`", file.display()))
}

/// A policy of `deploy/iam` in which an action is not allowed anywhere.
pub(crate) fn policy_without(role: &str, action: &str) -> Result<String> {
    let mut policy: serde_json::Value = serde_json::from_str(&policy(role)?)?;
    let statements = policy["Statement"].as_array_mut().context("statements")?;
    for statement in statements.iter_mut() {
        let actions = statement["Action"].as_array_mut().context("actions")?;
        actions.retain(|allowed| allowed != action);
    }
    statements.retain(|statement| {
        statement["Action"]
            .as_array()
            .is_some_and(|actions| !actions.is_empty())
    });
    Ok(policy.to_string())
}

/// Series of a request of a [`Sender`].
const SERIES: u64 = 40;

/// Request number n has the timestamp of this plus n, milliseconds since 1970.
pub(crate) const BASE_MS: i64 = 1_750_000_000_000;

/// Sends one request after the other, each until it is acknowledged: so all that it sent is to be there.
pub(crate) struct Sender {
    task: JoinHandle<Result<u64>>,
    stop: tokio::sync::watch::Sender<bool>,
    acknowledged: tokio::sync::watch::Receiver<u64>,
}

impl Sender {
    /// Sends to a server of this port, a hundred requests a second at most.
    pub(crate) fn start(port: u16) -> Self {
        Self::start_at(port, std::time::Duration::from_millis(10))
    }

    /// Sends to a server of this port at a pace.
    pub(crate) fn start_at(port: u16, pace: std::time::Duration) -> Self {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let (told, acknowledged) = tokio::sync::watch::channel(0);
        let url = format!("http://127.0.0.1:{port}/api/v1/write");
        let task = tokio::spawn(async move {
            let client = wire::client();
            let mut pace = tokio::time::interval(pace);
            for number in 0.. {
                let body = body(number)?;
                loop {
                    pace.tick().await;
                    // A server that is killed breaks connections; 503 is a server that asks for patience.
                    match wire::post(&client, &url, V1_TYPE, body.clone()).await {
                        Ok((204, ..)) => break,
                        Ok((503, ..)) | Err(_) => {}
                        Ok((status, _, text)) => anyhow::bail!("{status}: {text}"),
                    }
                }
                told.send_replace(number + 1);
                if *stopped.borrow() {
                    return Ok(number + 1);
                }
            }
            Ok(0)
        });
        Self {
            task,
            stop,
            acknowledged,
        }
    }

    /// How many requests were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits until so many more are acknowledged.
    pub(crate) async fn further(&self, requests: u64) -> Result<()> {
        let wanted = self.acknowledged() + requests;
        eventually(|| async move {
            let now = self.acknowledged();
            ensure!(now >= wanted, "{now} of {wanted} requests acknowledged");
            Ok(())
        })
        .await
    }

    /// Ends with the request that is under way; what must be there then.
    pub(crate) async fn end(self) -> Result<Samples> {
        self.stop.send_replace(true);
        Ok(expected(self.task.await??))
    }
}

fn labels(series: u64) -> LabelSet {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    vec![
        pair("__name__", "sent_total".to_owned()),
        pair("series", format!("{series:03}")),
    ]
}

fn value(number: u64, series: u64) -> f64 {
    (number * SERIES + series) as f64 / 8.0
}

fn body(number: u64) -> Result<Vec<u8>> {
    let series = |series: u64| v1::TimeSeries {
        labels: labels(series)
            .into_iter()
            .map(|(name, value)| v1::Label { name, value })
            .collect(),
        samples: vec![v1::Sample {
            value: value(number, series),
            timestamp: BASE_MS + number as i64,
        }],
        ..Default::default()
    };
    let request = v1::WriteRequest {
        timeseries: (0..SERIES).map(series).collect(),
        ..Default::default()
    };
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

fn expected(requests: u64) -> Samples {
    let of = |series| -> BTreeMap<i64, (u64, i64)> {
        (0..requests)
            .map(|number| (BASE_MS + number as i64, (value(number, series).to_bits(), 0)))
            .collect()
    };
    (0..SERIES).map(|series| (labels(series), of(series))).collect()
}

/// How many requests from the first one on are whole in what a remote read on a port gives, each sample once and as it was sent.
pub(crate) async fn held(port: u16) -> Result<u64> {
    let url = format!("http://127.0.0.1:{port}/api/v1/read");
    let found = wire::read_series(&wire::client(), &url, BASE_MS, BASE_MS + 10_000_000, wire::everything()).await?;
    let mut whole = if found.len() as u64 == SERIES { u64::MAX } else { 0 };
    for (series, found) in (0..).zip(&found) {
        for (number, sample) in (0..).zip(&found.samples) {
            let (at, bits) = (BASE_MS + number as i64, value(number, series).to_bits());
            let is_it = (sample.timestamp, sample.value.to_bits()) == (at, bits);
            ensure!(
                is_it,
                "series {series} holds {sample:?} instead of what was sent as number {number}"
            );
        }
        whole = whole.min(found.samples.len() as u64);
    }
    Ok(whole)
}

/// Fails with the first difference between what was sent and what a remote read on a port gives.
pub(crate) async fn reads_equal(port: u16, expected: &Samples) -> Result<()> {
    let url = format!("http://127.0.0.1:{port}/api/v1/read");
    let found = wire::read_samples(&wire::client(), &url, BASE_MS, BASE_MS + 10_000_000, wire::everything()).await?;
    match wire::difference(expected, &found) {
        None => Ok(()),
        Some(difference) => anyhow::bail!("{difference}"),
    }
}
