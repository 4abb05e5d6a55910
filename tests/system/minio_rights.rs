//! What operators get wrong with a real S3 server: rights, keys, buckets, certificates. Each is told clearly, writes go on where they can, and what is
//! mended is noticed without a restart.

use anyhow::{Result, ensure};

use crate::minio::{BUCKET, Minio, ROOT, Sender, policy, policy_without, reads_equal};
use crate::peers::own_metric;
use crate::process::{Emberkeep, Process, emberkeep, eventually, free_port, output};
use crate::wire;

/// A server whose key may not list, and then one whose key may not delete, on a bucket that is no archive yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rights_to_list_or_delete_writes_go_on_locally_and_the_log_says_what_is_missing() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let minio = Minio::start(&scratch.path().join("minio")).await?;
    for (user, action, told) in [
        ("nolist", "s3:ListBucket", "list after write"),
        ("nodelete", "s3:DeleteObject", "could not be checked: delete"),
    ] {
        // An archive of its own for each: one that exists is not checked again.
        let below = |objstore: String| format!("{}, prefix: {user}}}", objstore.strip_suffix('}').unwrap_or(&objstore));
        let objstore = below(minio.objstore_of(user));
        let allowed = |policy: &str| policy.replace("BUCKET/", &format!("{BUCKET}/{user}/"));
        minio.user(user, &allowed(&policy_without("receiver", action)?))?;
        let port = free_port()?;
        let mut command = emberkeep(["receiver", "--flush.interval=200ms"]);
        command
            .arg(format!("--storage.path={}", scratch.path().join(user).display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(&objstore);
        let mut receiver = Process::start("receiver", &mut command)?;
        receiver.wait_for_line("accepts writes")?;
        receiver.wait_for_line("commit failed; staging grows")?;
        let log = receiver.log();
        for text in [told, "AccessDenied", "the key lacks rights", "deploy/iam"] {
            ensure!(log.contains(text), "`{text}` is not told:\n{log}");
        }
        let sender = Sender::start(port);
        sender.further(30).await?;
        let client = wire::client();
        eventually(|| async {
            let staged = own_metric(&client, port, "emberkeep_receiver_staged_parts").await?;
            ensure!(staged > 1.0, "{staged} parts wait");
            Ok(())
        })
        .await?;
        let ready = client.get(format!("http://127.0.0.1:{port}/-/ready")).send().await?;
        ensure!(ready.status().is_success(), "not ready: {}", ready.text().await?);
        // Whoever looks sees it all the same.
        let told = ready.text().await?;
        for text in ["nothing is committed to the archive", "AccessDenied"] {
            ensure!(told.contains(text), "`{text}` is not told: {told}");
        }
        let failing = own_metric(&client, port, "emberkeep_receiver_commit_failing").await?;
        ensure!(failing == 1.0, "{failing}");

        minio.allow(user, &allowed(&policy("receiver")?))?;
        receiver.wait_for_line("the object store was checked and becomes an archive")?;
        let expected = sender.end().await?;
        eventually(|| async {
            let staged = own_metric(&client, port, "emberkeep_receiver_staged_parts").await?;
            ensure!(staged <= 1.0, "{staged} parts wait");
            Ok(())
        })
        .await?;
        let ready = client.get(format!("http://127.0.0.1:{port}/-/ready")).send().await?;
        let told = ready.text().await?;
        ensure!(told == "ready\n", "{told}");
        let read_port = free_port()?;
        let mut command = emberkeep(["reader"]);
        command
            .arg(format!("--web.listen-address=127.0.0.1:{read_port}"))
            .arg(format!("--head-url=http://127.0.0.1:{port}"))
            .arg(below(minio.objstore_of_root()));
        let mut reader = Process::start("reader", &mut command)?;
        reader.wait_for_line("reader is listening")?;
        reads_equal(read_port, &expected).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compactor_that_loses_its_rights_says_so_and_comes_back() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let minio = Minio::start(&scratch.path().join("minio")).await?;
    minio.user("compactor", &policy("compactor")?)?;
    let port = free_port()?;
    let mut command = emberkeep(["compactor", "--fold.interval=100ms"]);
    command
        .arg(format!("--storage.path={}", scratch.path().join("compactor").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(minio.objstore_of("compactor"));
    let _compactor = Process::start("compactor", &mut command)?;
    let client = wire::client();
    let ready = || async {
        let answer = client.get(format!("http://127.0.0.1:{port}/-/ready")).send().await?;
        anyhow::Ok((answer.status().as_u16(), answer.text().await?))
    };
    let becomes = |status: u16, told: &'static str| {
        let ready = &ready;
        eventually(move || async move {
            let answer = ready().await?;
            ensure!(
                answer.0 == status && answer.1.contains(told),
                "ready answers {answer:?}"
            );
            Ok(())
        })
    };
    becomes(200, "ready").await?;
    minio.allow("compactor", &policy_without("compactor", "s3:ListBucket")?)?;
    becomes(503, "403 Forbidden: AccessDenied").await?;
    minio.allow("compactor", &policy("compactor")?)?;
    becomes(200, "ready").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_check_passes_and_its_refusals_say_what_to_do() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let minio = Minio::start(&scratch.path().join("minio")).await?;
    let check = |objstore: &str| output(emberkeep(["compactor", "store", "check"]).arg(objstore));
    minio.user("receiver", &policy("receiver")?)?;
    minio.user("reader", &policy("reader")?)?;
    for objstore in [minio.objstore_of_root(), minio.objstore_of("receiver")] {
        let told = check(&objstore)?;
        ensure!(told.lines().count() == 11, "one line for each check:\n{told}");
        ensure!(told.lines().all(|line| line.starts_with("ok ")), "{told}");
    }
    let refusals = [
        (minio.objstore_of("reader"), "the key lacks rights"),
        (minio.objstore(ROOT.0, "another-secret"), "does not know this key"),
        (minio.objstore("nobody", "another-secret"), "does not know this key"),
        (minio.objstore_of_root().replace(BUCKET, "another"), "create the bucket"),
    ];
    for (objstore, told) in refusals {
        let text = format!(
            "{:#}",
            check(&objstore).err().unwrap_or_else(|| anyhow::anyhow!("it passed"))
        );
        ensure!(
            text.contains(told) && text.contains("exit status: 1"),
            "`{told}`: {text}"
        );
        ensure!(!text.contains("<Error>"), "{text}");
    }
    Ok(())
}

/// A certificate by a CA of the house: honoured by `tls_config.ca_file`, and nobody else is trusted then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_of_ones_own_is_trusted_when_it_is_named_and_only_then() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let minio = Minio::start_with_tls(&scratch.path().join("minio")).await?;
    let check = |objstore: &str| output(emberkeep(["compactor", "store", "check"]).arg(objstore));
    let objstore = minio.objstore_of_root();
    check(&objstore)?;
    let front = objstore.split(", http_config").next().unwrap_or(&objstore);
    let without = format!("{front}}}}}");
    let text = format!(
        "{:#}",
        check(&without).err().unwrap_or_else(|| anyhow::anyhow!("it passed"))
    );
    ensure!(text.contains("certificate"), "{text}");
    // And a server runs with it.
    let mut server = Emberkeep::start(&scratch.path().join("data"), &["--flush.interval=100ms", &objstore])?;
    let sender = Sender::start(server.port);
    sender.further(5).await?;
    server.process.wait_for_line("part committed")?;
    let expected = sender.end().await?;
    reads_equal(server.port, &expected).await
}
