//! Lines of JSON of one collector: in memory as long as they are few, in a temporary file beyond.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Kinds, add};

/// Below this a collector's documents never touch a disk.
const IN_MEMORY: usize = 256 << 10;
/// Where no temporary file can be written, so much is kept in memory.
const WITHOUT_A_FILE: usize = 48 << 20;

/// Lines of JSON, of which the last ones can be taken back.
pub struct Lines {
    folder: PathBuf,
    /// What went to the file; the rest is in memory.
    file: Option<File>,
    in_file: u64,
    memory: Vec<u8>,
    /// No file can be had, or it takes no more.
    no_more_file: bool,
    /// What was pushed.
    pub written: Extent,
    /// What of it counts.
    pub kept: Extent,
}

#[derive(Debug, Default, Clone)]
pub struct Extent {
    bytes: u64,
    pub documents: u64,
    pub kinds: Kinds,
}

impl Lines {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            file: None,
            in_file: 0,
            memory: Vec::new(),
            no_more_file: false,
            written: Extent::default(),
            kept: Extent::default(),
        }
    }

    pub fn push(&mut self, line: &[u8], kind: &'static str) -> io::Result<()> {
        self.memory.extend_from_slice(line);
        self.written.bytes += line.len() as u64;
        self.written.documents += 1;
        add(&mut self.written.kinds, kind, 1);
        if self.memory.len() < IN_MEMORY
            || (self.no_more_file && self.memory.len() < WITHOUT_A_FILE)
        {
            return Ok(());
        }
        self.spill().or_else(|why| {
            // Another source of documents may well be done by now, or there is room again; and
            // what is in memory is not lost.
            self.no_more_file = true;
            match self.memory.len() < WITHOUT_A_FILE {
                true => Ok(()),
                false => Err(why),
            }
        })
    }

    /// Moves what is in memory to the file.
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(
                tempfile::tempfile_in(&self.folder)
                    .or_else(|_| tempfile::tempfile_in(std::env::temp_dir()))?,
            ),
        };
        if let Err(why) = file.write_all(&self.memory) {
            // Half of it is no use: it is in memory as a whole.
            file.set_len(self.in_file)?;
            file.seek(SeekFrom::Start(self.in_file))?;
            return Err(why);
        }
        self.in_file += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    pub fn keep(&mut self) {
        self.kept = self.written.clone();
    }

    pub fn rewind(&mut self) -> io::Result<()> {
        self.rewind_to(self.kept.clone())
    }

    pub fn rewind_to(&mut self, to: Extent) -> io::Result<()> {
        let in_memory = to.bytes.checked_sub(self.in_file);
        match (in_memory, &mut self.file) {
            (Some(bytes), _) => self
                .memory
                .truncate(usize::try_from(bytes).unwrap_or(usize::MAX)),
            (None, file) => {
                self.memory.clear();
                self.in_file = to.bytes;
                if let Some(file) = file {
                    file.set_len(self.in_file)?;
                    file.seek(SeekFrom::Start(self.in_file))?;
                }
            }
        }
        self.written = to;
        Ok(())
    }

    /// From the first line.
    pub fn read(&self) -> io::Result<impl BufRead + Send + use<>> {
        let file: Box<dyn Read + Send> = match &self.file {
            Some(file) => Box::new(FromStart {
                file: file.try_clone()?,
                at: 0,
            }),
            None => Box::new(io::empty()),
        };
        Ok(BufReader::with_capacity(64 << 10, file).chain(Cursor::new(self.memory.clone())))
    }
}

/// Reads a file from its start, whoever else is reading it: the place of a cloned file is the same for all.
struct FromStart {
    file: File,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_readers_are_not_in_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = Lines::new(folder.path());
        for n in 0..1000 {
            lines
                .push(format!("{n:>1023}\n").as_bytes(), "CPU")
                .unwrap();
        }
        lines.keep();
        assert!(lines.file.is_some());
        let (mut one, mut other) = (lines.read().unwrap(), lines.read().unwrap());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        one.read_until(b'\n', &mut first).unwrap();
        other.read_to_end(&mut second).unwrap();
        one.read_to_end(&mut first).unwrap();
        assert!(first == second && first.len() == 1000 * 1024);
    }

    #[test]
    fn lines_survive_rewinding_at_any_place() {
        let folder = tempfile::tempdir().unwrap();
        let line = |n: usize| format!("{n:>1023}\n").into_bytes();
        // In memory, partly in the file, and taken back from both.
        for (kept, dropped) in [(0, 3), (3, 0), (200, 300), (300, 200), (700, 900), (700, 1)] {
            let mut lines = Lines::new(folder.path());
            for n in 0..kept {
                lines.push(&line(n), "CPU").unwrap();
            }
            lines.keep();
            for n in 0..dropped {
                lines.push(&line(n), "MEM").unwrap();
            }
            lines.rewind().unwrap();
            lines.push(&line(kept), "CPU").unwrap();
            lines.keep();
            let mut text = Vec::new();
            lines.read().unwrap().read_to_end(&mut text).unwrap();
            let expected: Vec<u8> = (0..=kept).flat_map(line).collect();
            assert!(text == expected, "{kept} kept, {dropped} dropped");
            assert_eq!(lines.kept.kinds, [("CPU", kept as u64 + 1)]);
        }
    }

    #[test]
    fn without_a_file_lines_stay_in_memory() {
        let mut lines = Lines::new(Path::new("/proc/self/nowhere"));
        lines.no_more_file = true;
        for _ in 0..2 * IN_MEMORY / 1024 {
            lines.push(&[b'x'; 1024], "CPU").unwrap();
        }
        assert!(lines.file.is_none());
        lines.keep();
        let mut text = Vec::new();
        lines.read().unwrap().read_to_end(&mut text).unwrap();
        assert_eq!(text.len(), 2 * IN_MEMORY);
    }
}
