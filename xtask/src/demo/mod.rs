//! `cargo xtask demo`: a receiver on loopback with a store, a certificate and tokens of its own, and the collector
//! sending to it every 10 s what this machine has; with `--history` a receiver with months that are made up.
//! Nothing leaves the machine, and nothing stays.

mod asking;
mod folder;
mod history;
mod programs;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::programs::{ends_well, program};
use asking::Asking;
use folder::Folder;
use programs::{Binaries, Receiver};

/// Between the beginnings of two rounds.
const EVERY: Duration = Duration::from_secs(10);
/// The facility of the demo.
const FACILITY: &str = "DEMO-AF";

const USAGE: &str = "cargo xtask demo [--history] [--for TIME] [--keep]
  --history   a receiver with 90 days of made-up history to look at, and no collector
  --for TIME  end after this time (30s, 5m, 1h; of --history once it is made) and print what the receiver
              has of the collector; without it: at Ctrl-C
  --keep      leave the folder with the store, the tokens and the certificate where it is";

/// How long, and what stays.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    time: Option<Duration>,
    is_kept: bool,
    is_help: bool,
    is_history: bool,
}

pub fn run(words: &[String]) -> Result<()> {
    let wish = wish(words)?;
    if wish.is_help {
        println!("{USAGE}");
        return Ok(());
    }
    println!("building the programs (the first time takes some minutes)");
    match wish.is_history {
        true => history::build()?,
        false => build()?,
    }
    let binaries = Binaries::beside_us()?;
    let folder = Folder::new(wish.is_kept)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match wish.is_history {
        true => runtime.block_on(history::demo(&wish, &binaries, &folder)),
        false => runtime.block_on(demo(&wish, &binaries, &folder)),
    }
}

fn build() -> Result<()> {
    let packages = ["-p", "afmetrics-collector", "-p", "afmetrics-receiver"];
    ends_well(program("cargo").args(["build", "--quiet"]).args(packages))
}

async fn demo(wish: &Wish, binaries: &Binaries, folder: &Folder) -> Result<()> {
    let mut end = End::new(wish.time)?;
    folder.make_certificate()?;
    folder.keep_sender_token(&binaries.token(folder, &["--facility", FACILITY]).await?)?;
    folder.keep_viewer_token(&binaries.token(folder, &["--viewer"]).await?)?;
    let mut receiver = Receiver::start(binaries, folder).await?;
    let asking = Asking::new(&receiver.url, folder)?;
    say_where(&receiver.url, folder);
    let shown = rounds(binaries, folder, &mut receiver, &mut end).await;
    let arrived = match shown {
        Ok(()) => asking.show().await,
        Err(why) => Err(why),
    };
    let stopped = receiver.stop().await;
    folder.say_whether_it_stays();
    arrived?;
    stopped
}

fn say_where(url: &str, folder: &Folder) {
    let (ca, token, header) = (folder.ca(), folder.viewer_token(), folder.viewer_header());
    println!(
        "
  front page   {url}/
               (its certificate is of {ca}; the token to log in with is in {token})
  metrics      {url}/metrics
  API          {url}/api/v1/facilities
  try          curl --cacert {ca} -H @{header} {url}/api/v1/facilities

The collector sends every {} s what this machine has. Ctrl-C ends it.
",
        EVERY.as_secs(),
        ca = ca.display(),
        token = token.display(),
        header = header.display(),
    );
}

/// Round after round, until the end. That a round could not read something is its own business: it says so.
async fn rounds(
    binaries: &Binaries,
    folder: &Folder,
    receiver: &mut Receiver,
    end: &mut End,
) -> Result<()> {
    loop {
        let next = Instant::now() + EVERY;
        let mut round = binaries.round(folder, &receiver.url, FACILITY)?;
        tokio::select! {
            status = round.wait() => {
                let code = status?.code();
                if code == Some(2) {
                    bail!("the collector does not know a flag that the demo gives it");
                }
            }
            () = end.wait_for() => {
                // What has begun is ended well: the round stores what it has, and says so.
                programs::stop(round, "the collector").await?;
                return Ok(());
            }
            ended = receiver.wait() => bail!("the receiver ended by itself: {ended}"),
        }
        tokio::select! {
            () = sleep_until(next) => {}
            () = end.wait_for() => return Ok(()),
            ended = receiver.wait() => bail!("the receiver ended by itself: {ended}"),
        }
    }
}

/// When the demo ends: at a time, or when somebody says so.
pub struct End {
    at: Option<Instant>,
    signals: [tokio::signal::unix::Signal; 3],
}

impl End {
    pub fn new(time: Option<Duration>) -> Result<Self> {
        Ok(Self {
            at: time.map(|time| Instant::now() + time),
            signals: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }

    pub async fn wait_for(&mut self) {
        let at = self.at;
        let time = async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            () = time => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

fn wish(words: &[String]) -> Result<Wish> {
    let mut wish = Wish::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let time = match word {
            "--for" => Some(
                words
                    .next()
                    .context("--for needs a time, as in --for 30s")?,
            ),
            word => word.strip_prefix("--for="),
        };
        match (word, time) {
            (_, Some(time)) => wish.time = Some(duration(time)?),
            ("--keep", _) => wish.is_kept = true,
            ("--history", _) => wish.is_history = true,
            ("-h" | "--help", _) => wish.is_help = true,
            _ => bail!("`{word}` is nothing that the demo knows:\n{USAGE}"),
        }
    }
    Ok(wish)
}

/// `30s`, `5m`, `1h`, or seconds.
pub fn duration(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let each = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        _ => 0,
    };
    match digits.parse::<u32>() {
        Ok(number) if number > 0 && each > 0 => Ok(Duration::from_secs(u64::from(number) * each)),
        _ => bail!("`{text}` is no time: give seconds, or as in 30s, 5m, 1h"),
    }
}

/// Waits for something at most so long.
async fn within<T>(seconds: u64, what: &str, wait: impl Future<Output = T>) -> Result<T> {
    timeout(Duration::from_secs(seconds), wait)
        .await
        .with_context(|| format!("{what} takes more than {seconds} s"))
}

/// Where the programs are that were built.
fn target() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where is this program?")?;
    let folder = own.parent().context("this program is in no folder")?;
    // A test's executable is one deeper.
    Ok(match folder.ends_with("deps") {
        true => folder.parent().unwrap_or(folder).to_owned(),
        false => folder.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn times_are_read() {
        for (text, seconds) in [("30s", 30), ("30", 30), ("5m", 300), ("2h", 7_200)] {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(seconds));
        }
        for text in ["", "s", "0s", "-3s", "3d", "1.5s", "99999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        let wanted = Wish {
            time: Some(Duration::from_secs(3)),
            is_kept: true,
            ..Wish::default()
        };
        assert_eq!(wish(&words("--for 3s --keep")).unwrap(), wanted);
        assert_eq!(wish(&words("--keep --for=3s")).unwrap(), wanted);
        assert!(wish(&words("--history")).unwrap().is_history);
        assert!(wish(&words("--for")).is_err() && wish(&words("--fro 3s")).is_err());
    }

    /// The whole demo, for some seconds: documents arrive, and nothing that it started or made is left.
    #[test]
    fn documents_arrive_and_nothing_is_left() {
        // `cargo test --workspace` has built them just now.
        if !Binaries::beside_us().unwrap().are_there() {
            build().unwrap();
        }
        let binaries = Binaries::beside_us().unwrap();
        let folder = Folder::new(false).unwrap();
        let path = folder.path().to_owned();
        let wish = wish(&words("--for 5s")).unwrap();
        let done = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { within(120, "the demo", demo(&wish, &binaries, &folder)).await });
        done.unwrap().unwrap();
        assert!(path.join("store/afmetrics.db").exists());
        drop(folder);
        assert!(!path.exists());
        let text = path.to_string_lossy().into_owned();
        for process in std::fs::read_dir("/proc").unwrap() {
            let line = process.unwrap().path().join("cmdline");
            let line = std::fs::read(line).unwrap_or_default();
            assert!(
                !String::from_utf8_lossy(&line).contains(&text),
                "{line:?} is left"
            );
        }
    }
}
