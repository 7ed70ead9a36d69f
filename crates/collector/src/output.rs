//! Where documents go that are not sent: files in the current directory (`-d`), or standard output
//! (`--print`).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead as _, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::round::Collected;

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    pub documents: u64,
    /// The names of the files.
    pub files: BTreeSet<&'static str>,
    /// Why not all could be written, and where.
    pub errors: Vec<String>,
}

/// Appends every document, pretty-printed, to its collector's file below `folder`: a stream of JSON
/// values that `jq` reads. A file that cannot be written costs its own documents only.
pub fn to_files(folder: &Path, collected: Vec<Collected>) -> Written {
    let mut written = Written::default();
    for collected in collected {
        let name = collected.debug_file;
        match append(&folder.join(name), collected) {
            Ok(0) => {}
            Ok(count) => {
                written.documents += count;
                written.files.insert(name);
            }
            Err(why) => written.errors.push(format!("cannot write {name}: {why}")),
        }
    }
    written
}

fn append(path: &Path, collected: Collected) -> io::Result<u64> {
    let Some(documents) = collected
        .documents
        .filter(|documents| documents.count() > 0)
    else {
        return Ok(0);
    };
    let file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        // It holds names.
        .mode(0o600)
        .open(path)?;
    let mut file = BufWriter::new(file);
    for line in documents.read(0)?.split(b'\n') {
        let document: Value = serde_json::from_slice(&line?)?;
        let four_blanks = PrettyFormatter::with_indent(b"    ");
        document.serialize(&mut Serializer::with_formatter(&mut file, four_blanks))?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(documents.count())
}

/// Writes every document as it would be sent, but without token, one a line. A reader that has
/// enough (`| head`) is no error.
pub fn to_stdout(collected: Vec<Collected>) -> Written {
    let mut written = Written::default();
    if let Err(why) = print(collected, &mut written.documents)
        && why.kind() != io::ErrorKind::BrokenPipe
    {
        written
            .errors
            .push(format!("cannot write to standard output: {why}"));
    }
    written
}

fn print(collected: Vec<Collected>, count: &mut u64) -> io::Result<()> {
    let mut stdout = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    for documents in collected.into_iter().filter_map(|c| c.documents) {
        for line in documents.read(0)?.split(b'\n') {
            let mut line = line?;
            line.push(b'\n');
            stdout.write_all(&line)?;
            *count += 1;
        }
    }
    stdout.flush()
}
