//! `--history`: a store with months of made-up history, and a receiver alone to look at it. Without TLS, so that a
//! browser opens its pages as they are: it listens on loopback, and nothing in it is anybody's.

use anyhow::{Result, bail};

use super::folder::Folder;
use super::programs::{Binaries, Receiver, stop};
use super::{End, Wish};
use crate::programs::{ends_well, program};

/// Builds what it needs, as the workspace's tests do, which most likely were here before.
pub fn build() -> Result<()> {
    let what = ["--bin", "afmetrics_receiver", "--example", "history"];
    ends_well(
        program("cargo")
            .args(["build", "--quiet", "--workspace"])
            .args(what),
    )
}

pub async fn demo(wish: &Wish, binaries: &Binaries, folder: &Folder) -> Result<()> {
    if !fill(binaries, folder).await? {
        return Ok(());
    }
    let mut end = End::new(wish.time)?;
    folder.keep_viewer_token(&binaries.token(folder, &["--viewer"]).await?)?;
    let mut receiver = Receiver::start(binaries, folder).await?;
    say_where(&receiver.url, folder);
    tokio::select! {
        () = end.wait_for() => {}
        ended = receiver.wait() => bail!("the receiver ended by itself: {ended}"),
    }
    let stopped = receiver.stop().await;
    folder.say_whether_it_stays();
    stopped
}

/// `false`: somebody has had enough before it was done.
async fn fill(binaries: &Binaries, folder: &Folder) -> Result<bool> {
    println!("making up 90 days of three facilities, which takes a minute or two");
    let mut end = End::new(None)?;
    let mut filling = binaries.history(folder)?;
    tokio::select! {
        status = filling.wait() => match status? {
            status if status.success() => Ok(true),
            status => bail!("the history was not made: {status}"),
        },
        () = end.wait_for() => {
            stop(filling, "the history").await?;
            Ok(false)
        }
    }
}

fn say_where(url: &str, folder: &Folder) {
    println!(
        "
  in a browser {url}/
               (the token to log in with is in {token})
  API          curl -H @{header} '{url}/api/v1/users?from=-30d'

All that it shows is made up. Ctrl-C ends it.
",
        token = folder.viewer_token().display(),
        header = folder.viewer_header().display(),
    );
}
