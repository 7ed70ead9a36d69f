//! Opens the files of a recording. It may come from a stranger: what is opened lies in its folder, is a file, and
//! has an end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::OFlag;

/// What a program printed, which is read bit by bit, or an answer of Kubernetes; as much as is
/// recorded: a queue of 100,000 jobs is some 30 MB.
pub const LARGEST_OUTPUT: u64 = 1 << 30;
/// Any other file.
const LARGEST_FILE: u64 = 16 << 20;
/// Files and folders of a recording: one of 1,000 schedds has some 10,000.
const MOST_ENTRIES: usize = 100_000;

/// Sees that there are only folders and files in a folder, and neither too many nor too large ones:
/// all that a replay holds in memory is [`LARGEST_OUTPUT`] at most.
pub fn check(dir: &Path) -> Result<()> {
    let (mut count, mut held) = (0, 0);
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let cannot = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let shown = path.display();
            // Of the link, not of what it leads to.
            let found =
                fs::symlink_metadata(&path).with_context(|| format!("cannot read {shown}"))?;
            count += 1;
            if count > MOST_ENTRIES {
                bail!(
                    "{} has more than {MOST_ENTRIES} files: that is no recording",
                    dir.display()
                );
            }
            if found.is_dir() {
                folders.push(path);
                continue;
            }
            if !found.is_file() {
                bail!(
                    "{shown} is neither a folder nor a file: `record` writes nothing else, remove it"
                );
            }
            if found.len() > largest(&path) {
                bail!(
                    "{shown} is too large: at most {} bytes are read",
                    largest(&path)
                );
            }
            if !is_not_held(&path) {
                held += found.len();
            }
            if held > LARGEST_OUTPUT {
                bail!("the files of {} are too large", dir.display());
            }
        }
    }
    Ok(())
}

fn largest(path: &Path) -> u64 {
    match path.extension() {
        Some(ending) if ending == "answer" => LARGEST_OUTPUT,
        _ if is_not_held(path) => LARGEST_OUTPUT,
        _ => LARGEST_FILE,
    }
}

/// Whether a file is read bit by bit (`.out`) or not at all (`expected.json`), and not held in memory.
fn is_not_held(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "out")
        || path.file_stem().is_some_and(|name| name == "expected")
}

/// Opens a file; links, pipes and devices are none.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if found.len() > largest(path) {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(file)
}

/// All that is in a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = largest(path);
    // It may grow while it is read.
    open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
        false => Ok(bytes),
    }
}

/// The same of text.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Whether a path below a folder stays there.
pub fn stays_below(path: &str) -> bool {
    Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}
