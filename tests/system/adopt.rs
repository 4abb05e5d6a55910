//! Several receivers on one bucket: a reader sees the heads of all, a dead one is an error or a marked gap, and adopting what it
//! left makes the archive whole again.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;

use crate::process::{Process, emberkeep, free_port, output};
use crate::wire::{self, V1_TYPE};

fn body(instance: &str, timestamp: i64) -> Result<Vec<u8>> {
    let label = |name: &str, value: &str| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let series = v1::TimeSeries {
        labels: vec![label("__name__", "adopted"), label("instance", instance)],
        samples: vec![v1::Sample { value: 0.5, timestamp }],
        ..Default::default()
    };
    let request = v1::WriteRequest {
        timeseries: vec![series],
        ..Default::default()
    };
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

/// The value of a metric.
async fn metric(client: &reqwest::Client, port: u16, name: &str) -> Result<f64> {
    let text = client
        .get(format!("http://127.0.0.1:{port}/metrics"))
        .send()
        .await?
        .text()
        .await?;
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    let value = line.and_then(|line| line.rsplit(' ').next());
    Ok(value.with_context(|| format!("no metric {name}"))?.parse()?)
}

/// The bucket and the folders of the receivers.
struct Site {
    scratch: tempfile::TempDir,
    objstore: String,
}

impl Site {
    fn new() -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let bucket = scratch.path().join("bucket");
        let objstore = format!(
            "--objstore.config={{type: FILESYSTEM, config: {{directory: \"{}\"}}}}",
            bucket.display()
        );
        Ok(Self { scratch, objstore })
    }

    fn folder(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path().join(name)
    }

    fn receiver(&self, name: &str, port: u16) -> Result<Process> {
        let mut command = emberkeep(["receiver"]);
        command
            .arg(&self.objstore)
            .arg(format!("--storage.path={}", self.folder(name).display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Process::start(name, &mut command)?;
        process.wait_for_line("accepts writes")?;
        Ok(process)
    }

    fn reader(&self, port: u16, more: &[String]) -> Result<Process> {
        let mut command = emberkeep(["reader"]);
        command
            .arg(&self.objstore)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(more);
        let mut process = Process::start("reader", &mut command)?;
        process.wait_for_line("reader is listening")?;
        Ok(process)
    }

    fn adopt(&self, directory: &Path) -> Result<String> {
        output(emberkeep(["receiver", "adopt"]).arg(directory).arg(&self.objstore))
    }
}

#[tokio::test]
async fn three_receivers_of_which_one_dies_and_is_adopted() -> Result<()> {
    let site = Site::new()?;
    let client = wire::client();
    let (ports, mut receivers) = ([free_port()?, free_port()?, free_port()?], Vec::new());
    for (index, port) in ports.iter().enumerate() {
        receivers.push(site.receiver(&format!("receiver-{index}"), *port)?);
    }
    let list = site.folder("heads");
    let all: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}\n")).collect();
    std::fs::write(&list, all.concat())?;
    let head_file = format!("--head-file={}", list.display());
    let (strict_port, partial_port) = (free_port()?, free_port()?);
    let strict = site.reader(strict_port, std::slice::from_ref(&head_file))?;
    let partial = site.reader(partial_port, &[head_file, "--read.partial-answers".to_owned()])?;
    for (index, port) in ports.iter().enumerate() {
        let url = format!("http://127.0.0.1:{port}/api/v1/write");
        let sent = wire::post(&client, &url, V1_TYPE, body(&format!("i{index}"), 1_000)?).await?;
        ensure!(sent.0 == 204, "{sent:?}");
    }
    let read = async |port: u16| {
        let url = format!("http://127.0.0.1:{port}/api/v1/read");
        wire::read_samples(&client, &url, 0, 10_000, wire::everything()).await
    };
    ensure!(read(strict_port).await?.len() == 3, "every head is seen");

    receivers.remove(1).kill()?;
    let refused = format!("{:?}", read(strict_port).await);
    ensure!(
        refused.contains("503") && refused.contains(&ports[1].to_string()),
        "{refused}"
    );
    ensure!(read(partial_port).await?.len() == 2, "what the living ones hold");
    let url = format!("http://127.0.0.1:{partial_port}/api/v1/series?match[]=adopted");
    let text = client.get(url).send().await?.text().await?;
    ensure!(
        text.contains("warnings") && text.contains(&ports[1].to_string()),
        "{text}"
    );
    ensure!(metric(&client, partial_port, "emberkeep_reader_partial_answers_total").await? >= 2.0);

    // A running receiver's folder is refused; that of the dead one is committed, once.
    let busy = format!("{:?}", site.adopt(&site.folder("receiver-0")));
    ensure!(busy.contains("in use by process"), "{busy}");
    let said = site.adopt(&site.folder("receiver-1"))?;
    ensure!(
        said.contains("1 commit(s), 1 samples") && said.contains("Nothing is left"),
        "{said}"
    );
    let again = site.adopt(&site.folder("receiver-1"))?;
    ensure!(again.contains("Nothing was left to commit"), "{again}");
    let nowhere = format!("{:?}", site.adopt(&site.folder("nowhere")));
    ensure!(nowhere.contains("is no data directory of a receiver"), "{nowhere}");
    ensure!(!site.folder("nowhere").exists(), "looking makes nothing");

    // The dead one is taken off the list, and the next query is whole.
    std::fs::write(&list, [all[0].as_str(), all[2].as_str()].concat())?;
    ensure!(read(strict_port).await?.len() == 3, "whole again");
    ensure!(read(partial_port).await?.len() == 3, "whole again");
    drop((strict, partial, receivers));
    Ok(())
}

#[tokio::test]
async fn an_adoption_that_is_killed_is_completed_by_the_next_one() -> Result<()> {
    let site = Site::new()?;
    let client = wire::client();
    let port = free_port()?;
    let url = format!("http://127.0.0.1:{port}/api/v1/write");
    for life in 0..3_i64 {
        let receiver = site.receiver("dead", port)?;
        for number in 0..20_i64 {
            let sent = wire::post(&client, &url, V1_TYPE, body("i", life * 100 + number)?).await?;
            ensure!(sent.0 == 204, "{sent:?}");
        }
        receiver.kill()?;
    }
    // Killed as soon as it has said what it does, and once more later.
    for line in ["has a receiver id of its own", "claimed an epoch"] {
        let mut command = emberkeep(["receiver", "adopt"]);
        command.arg(site.folder("dead")).arg(&site.objstore);
        let mut adopting = Process::start("adopt", &mut command)?;
        // It may be done before it is killed; then the next one finds nothing.
        let _ = adopting.wait_for_line(line);
        adopting.kill()?;
        if site.adopt(&site.folder("dead"))?.contains("Nothing was left") {
            break;
        }
    }
    let again = site.adopt(&site.folder("dead"))?;
    ensure!(again.contains("Nothing was left to commit"), "{again}");
    let read_port = free_port()?;
    let reader = site.reader(read_port, &[])?;
    let url = format!("http://127.0.0.1:{read_port}/api/v1/read");
    let rows = async || -> Result<usize> {
        let found = wire::read_samples(&client, &url, 0, 10_000, wire::everything()).await?;
        Ok(found.values().map(|samples| samples.len()).sum())
    };
    ensure!(rows().await? == 60);
    drop(reader);

    // What was adopted is found again when the catalog is lost, under the name of the one that committed it.
    let compactor = |arguments: &[&str]| output(emberkeep(["compactor"]).args(arguments).arg(&site.objstore));
    compactor(&["run", "--once", "--compact.settle=10d"])?;
    for lost in ["roots", "log"] {
        std::fs::remove_dir_all(site.folder("bucket/_archive").join(lost))?;
    }
    let said = compactor(&["rebuild"])?;
    let _reader = site.reader(read_port, &[])?;
    ensure!(rows().await? == 60, "{said}");
    Ok(())
}
