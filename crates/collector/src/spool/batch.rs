//! A batch: the documents of one round for one endpoint, in a file.
//!
//! The file is a row of zstd frames, each with a checksum, of lines of JSON: what `zstdcat` prints.
//! The first frame is one line, the header; then come the documents, some hundred kB a frame. A
//! frame is believed when it has been read to its end, checksum included.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::counted::counted;

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// A frame ends behind the document with which it is so long, in bytes before compression.
const FRAME: usize = 256 << 10;
/// No frame is longer than this: what says so is damaged.
const LONGEST_FRAME: usize = 64 << 20;
/// No batch has more documents: a bit of each has to fit into memory.
const MOST_DOCUMENTS: u64 = 100_000_000;
/// The window of a frame, as a power of 2: what a reader has to keep in memory.
const WINDOW: u32 = 20;
/// Of zstd. Of a megabyte of jobs it leaves 72 kB; level 3 leaves 81 kB and takes half as long again.
const LEVEL: i32 = 1;

/// What a batch is, in its first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of this format.
    pub afmetrics_batch: u32,
    /// UUIDv7. With a document's index it names the document for ever.
    pub id: Uuid,
    /// When the round began: what late documents carry as `timestamp`.
    pub collected: Timestamp,
    /// The facility, as in each document.
    pub cluster: String,
    /// Where the documents were to go when they were collected, without what is secret in the URL.
    pub endpoint: String,
    /// How users and hosts are named in the documents: `clear`, or how they are hidden.
    pub users: String,
    pub hosts: String,
    /// How many documents follow.
    pub documents: u64,
    /// The same by kind.
    pub kinds: BTreeMap<String, u64>,
    /// The batch whose rejected documents these are, tried once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<Uuid>,
}

impl Header {
    /// A header for documents collected at that time; the counts come with the documents.
    pub fn new(collected: Timestamp) -> Self {
        Self {
            afmetrics_batch: FORMAT,
            id: Uuid::now_v7(),
            collected,
            cluster: String::new(),
            endpoint: String::new(),
            users: String::new(),
            hosts: String::new(),
            documents: 0,
            kinds: BTreeMap::new(),
            retry_of: None,
        }
    }
}

/// Why a batch gives no more documents.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// What is in the file is not what was written: it never will be readable.
    #[error("{0}")]
    Damaged(String),
    /// The system cannot read it now.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Writes a batch that is not there yet; who calls syncs it. `documents`: lines of JSON, as many as the header
/// says.
pub fn write(path: &Path, header: &Header, documents: &mut dyn BufRead) -> io::Result<File> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.set_parameter(CParameter::WindowLog(WINDOW))?;
    let mut frame = serde_json::to_vec(header)?;
    frame.push(b'\n');
    file.write_all(&compressor.compress(&frame)?)?;
    frame.clear();
    let mut count = 0;
    loop {
        let is_last = documents.read_until(b'\n', &mut frame)? == 0;
        count += u64::from(!is_last);
        if frame.len() >= FRAME || (is_last && !frame.is_empty()) {
            file.write_all(&compressor.compress(&frame)?)?;
            frame.clear();
        }
        if is_last {
            break;
        }
    }
    if count != header.documents {
        return Err(io::Error::other(format!(
            "{} came where {} were announced",
            counted(count, "document"),
            header.documents
        )));
    }
    Ok(file)
}

/// Reads a batch, frame by frame.
pub struct Reader {
    file: BufReader<File>,
    pub header: Header,
    /// The index of the next document.
    next: u64,
}

/// Some documents of a batch: whole lines of JSON, each with its line end.
#[derive(Debug)]
pub struct Frame {
    /// The index of the first.
    pub first: u64,
    pub lines: Vec<u8>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let mut file = BufReader::with_capacity(64 << 10, File::open(path)?);
        let Some(line) = frame(&mut file)? else {
            return Err(Unreadable::Damaged("it is empty".to_owned()));
        };
        let header: Header = serde_json::from_slice(&line)
            .map_err(|why| Unreadable::Damaged(format!("its header makes no sense: {why}")))?;
        if header.afmetrics_batch != FORMAT {
            return Err(Unreadable::Damaged(format!(
                "it is of format {}, and this program reads {FORMAT}",
                header.afmetrics_batch
            )));
        }
        if header.documents > MOST_DOCUMENTS {
            return Err(Unreadable::Damaged(format!(
                "its header promises {}",
                counted(header.documents, "document")
            )));
        }
        Ok(Self {
            file,
            header,
            next: 0,
        })
    }

    /// The next documents; `None` when all that the header promises were read.
    pub fn next(&mut self) -> Result<Option<Frame>, Unreadable> {
        let promised = self.header.documents;
        let Some(lines) = frame(&mut self.file)? else {
            return match self.next == promised {
                true => Ok(None),
                false => Err(Unreadable::Damaged(format!(
                    "it is cut: it holds {} of {}",
                    self.next,
                    counted(promised, "document")
                ))),
            };
        };
        let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let first = self.next;
        self.next = first.saturating_add(count);
        if self.next > promised || lines.last() != Some(&b'\n') {
            return Err(Unreadable::Damaged(format!(
                "it holds other than the {} that its header promises",
                counted(promised, "document")
            )));
        }
        Ok(Some(Frame { first, lines }))
    }
}

/// The next frame, unpacked and found to be what was written; `None` at the end of the file.
fn frame(file: &mut BufReader<File>) -> Result<Option<Vec<u8>>, Unreadable> {
    if file.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let damaged = |why: io::Error| match why.raw_os_error() {
        Some(_) => Unreadable::Io(why),
        None => Unreadable::Damaged(format!("it is cut or changed: {why}")),
    };
    let mut decoder = zstd::stream::read::Decoder::with_buffer(file)
        .map_err(damaged)?
        .single_frame();
    decoder.window_log_max(WINDOW).map_err(damaged)?;
    let mut lines = Vec::new();
    decoder
        .take(LONGEST_FRAME as u64 + 1)
        .read_to_end(&mut lines)
        .map_err(damaged)?;
    match lines.len() {
        0 => Err(Unreadable::Damaged("a frame of it is empty".to_owned())),
        long if long > LONGEST_FRAME => Err(Unreadable::Damaged(
            "a frame of it is longer than any that is written".to_owned(),
        )),
        _ => Ok(Some(lines)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn written(folder: &Path, lines: &[u8]) -> (std::path::PathBuf, Header) {
        let mut header = Header::new(Timestamp::UNIX_EPOCH);
        header.documents = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let path = folder.join(header.id.to_string());
        write(&path, &header, &mut &lines[..]).unwrap();
        (path, header)
    }

    /// All that can be read, and whether it ended well.
    fn read(path: &Path) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        let Ok(mut reader) = Reader::open(path) else {
            return (all, false);
        };
        loop {
            match reader.next() {
                Ok(Some(frame)) => all.extend(frame.lines),
                Ok(None) => return (all, true),
                Err(_) => return (all, false),
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0, 1, 2, 5000] {
            let lines: Vec<u8> = (0..count)
                .flat_map(|n| format!("{{\"n\":{n:>150}}}\n").into_bytes())
                .collect();
            let (path, header) = written(folder.path(), &lines);
            let reader = Reader::open(&path).unwrap();
            assert_eq!(reader.header, header);
            assert_eq!(read(&path), (lines, true));
        }
    }

    #[test]
    fn a_cut_or_changed_file_is_noticed_and_gives_no_wrong_document() {
        let folder = tempfile::tempdir().unwrap();
        let lines: Vec<u8> = (0..6000)
            .flat_map(|n| format!("{{\"n\":{:>90}}}\n", n * 7919 % 6007).into_bytes())
            .collect();
        let (path, _) = written(folder.path(), &lines);
        let whole = fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged");
        for at in (0..whole.len()).step_by(whole.len() / 400) {
            fs::write(&damaged, &whole[..at]).unwrap();
            let (all, well) = read(&damaged);
            assert!(!well && lines.starts_with(&all), "cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&damaged, &flipped).unwrap();
            let (all, well) = read(&damaged);
            assert!(lines.starts_with(&all), "flipped at {at}");
            assert!(!well || all == lines, "flipped at {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_batch_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("any");
            fs::write(&path, &bytes).unwrap();
            read(&path);
            // Behind a good header, too.
            let (path, _) = written(folder.path(), b"{}\n");
            let mut all = fs::read(&path).unwrap();
            all.extend(&bytes);
            fs::write(&path, &all).unwrap();
            let (lines, well) = read(&path);
            prop_assert_eq!(lines, b"{}\n");
            prop_assert_eq!(well, bytes.is_empty());
        }
    }
}
