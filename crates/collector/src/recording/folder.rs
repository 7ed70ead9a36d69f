//! Writes a recording's folder, with other names in it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::parts::{Meaning, Numbers, Part, Shape, decoded, encoded, understood};
use super::player::is_date;
use super::recorder::{Exchange, Read, Run};
use super::renaming::Renaming;
use super::{Ended, FACILITY, ROUND, Round, kubernetes, lines_of};
use crate::state::cursor_name;

/// What was written.
#[derive(Debug, Default)]
pub struct Count {
    pub runs: usize,
    pub files: usize,
    pub requests: usize,
    /// Users, hosts, other words.
    pub renamed: [usize; 3],
}

/// A folder for the owner alone.
pub fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A new file for the owner alone; the folders on the way are made.
pub fn file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path)?.write_all(bytes)
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        make(folder)?;
    }
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// What is written, and with which names.
pub struct Writer<'a> {
    pub dir: &'a Path,
    pub renaming: Renaming,
    /// In small letters, the labels of pods whose values are users.
    pub labels: Vec<String>,
}

impl Writer<'_> {
    /// Learns all names there are, and writes all that was read. `round` has what else it takes, with the old names;
    /// `has_state`: there is a state folder.
    pub fn write(&mut self, read: &Read, mut round: Round, has_state: bool) -> io::Result<Count> {
        self.learn(read, &round)?;
        let mut count = Count {
            runs: read.runs.len(),
            requests: read.exchanges.len(),
            ..Count::default()
        };
        self.commands(&read.runs)?;
        count.files = self.files(&read.files, &mut round)?;
        self.kubernetes(read)?;
        self.renaming.learn_keys_of_hosts();
        if has_state {
            file(&self.dir.join("state/.keep"), b"")?;
        }
        for (name, cursor) in &read.cursors {
            self.cursor(name, cursor)?;
        }
        let users = std::mem::take(&mut round.outside_group);
        round.outside_group = users.iter().map(|name| self.user(name)).collect();
        round.user = round.user.map(|name| self.user(&name));
        let statvfs = std::mem::take(&mut round.statvfs).into_iter();
        round.statvfs = statvfs
            .map(|(path, space)| (self.renaming.string(&path), space))
            .collect();
        let text = serde_json::to_string_pretty(&round)? + "\n";
        file(&self.dir.join(ROUND), text.as_bytes())?;
        count.renamed = self.renaming.counts();
        Ok(count)
    }

    fn user(&mut self, name: &str) -> String {
        String::from_utf8_lossy(&self.renaming.user(name.as_bytes())).into_owned()
    }

    fn learn(&mut self, read: &Read, round: &Round) -> io::Result<()> {
        for name in round.outside_group.iter().chain(&round.user) {
            self.renaming.learn_user(name.as_bytes());
        }
        for run in &read.runs {
            let mut shape = Shape::of_program(run.program);
            learn_of(&mut self.renaming, &mut shape, run.out()?)?;
        }
        for exchange in &read.exchanges {
            let mut shape = self.of_pods();
            learn_of(&mut self.renaming, &mut shape, exchange.answer.body())?;
        }
        self.renaming.settle();
        Ok(())
    }

    fn of_pods(&self) -> Shape {
        Shape::Json {
            users: self.labels.clone(),
            hosts: &[],
        }
    }

    fn commands(&mut self, runs: &[Run]) -> io::Result<()> {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut times: Vec<usize> = vec![0; runs.len()];
        for (at, run) in runs.iter().enumerate() {
            // The same as the last one with these arguments is that one once more.
            let is_alike = |other: &&usize| {
                runs[**other].program == run.program && runs[**other].args == run.args
            };
            let earlier: Vec<usize> = (0..at).filter(|other| times[*other] > 0).collect();
            match earlier.iter().rev().find(is_alike) {
                Some(last) if run.is_same(&runs[*last])? => times[*last] += 1,
                _ => times[at] = 1,
            }
        }
        for (run, times) in runs.iter().zip(times).filter(|(_, times)| *times > 0) {
            let number = numbers.entry(run.program).or_default();
            *number += 1;
            let name = format!("commands/{}.{number}", run.program);
            self.run(run, times, &self.dir.join(name))?;
        }
        Ok(())
    }

    fn run(&mut self, run: &Run, times: usize, files: &Path) -> io::Result<()> {
        let named = |ending: &str| {
            let mut name = files.as_os_str().to_owned();
            name.push(".");
            name.push(ending);
            PathBuf::from(name)
        };
        let args: Vec<Vec<u8>> = run
            .args
            .iter()
            .map(|arg| match is_date(arg) {
                true => b"{time}".to_vec(),
                false => self.renaming.text(arg),
            })
            .collect();
        file(&named("args"), &lines_of(&args))?;
        let mut out = BufWriter::new(create(&named("out"))?);
        let mut shape = Shape::of_program(run.program);
        rename(&mut self.renaming, &mut shape, run.out()?, &mut out)?;
        out.flush()?;
        if !run.err.is_empty() {
            file(&named("err"), &self.renaming.text(&run.err))?;
        }
        let (ending, text) = match &run.ended {
            Ended::Status(status) => ("rc", status.to_string()),
            Ended::NotStarted(why) => {
                let why = self.renaming.string(why).replace('\n', " ");
                ("ended", Ended::NotStarted(why).text())
            }
            ended => ("ended", ended.text()),
        };
        if run.ended != Ended::Status(0) {
            file(&named(ending), (text + "\n").as_bytes())?;
        }
        if times > 1 {
            file(&named("times"), format!("{times}\n").as_bytes())?;
        }
        Ok(())
    }

    /// How many there were.
    fn files(
        &mut self,
        files: &BTreeMap<String, Vec<Result<Vec<u8>, i32>>>,
        round: &mut Round,
    ) -> io::Result<usize> {
        let mut count = 0;
        for (path, readings) in files {
            let below = path.trim_start_matches('/');
            let mut last: Option<&Vec<u8>> = None;
            for (reading, number) in readings.iter().zip(1..) {
                match reading {
                    Ok(bytes) if last != Some(bytes) => {
                        let root = match number {
                            1 => "root".to_owned(),
                            number => format!("root.{number}"),
                        };
                        let place = self.dir.join(root).join(below);
                        file(&place, &self.renaming.fields(bytes))?;
                        last = Some(bytes);
                    }
                    Ok(_) => {}
                    Err(why) if *why == Errno::ENOENT as i32 => {}
                    Err(why) => {
                        round.unreadable.insert(path.clone(), *why);
                    }
                }
            }
            count += usize::from(last.is_some());
        }
        Ok(count)
    }

    fn kubernetes(&mut self, read: &Read) -> io::Result<()> {
        let folder = self.dir.join("kubernetes");
        if let Some(why) = &read.no_client {
            let text = kubernetes::kind(why).to_owned() + &self.renaming.string(&why.to_string());
            file(
                &folder.join(kubernetes::NO_CLIENT),
                (text + "\n").as_bytes(),
            )?;
        }
        for (exchange, number) in read.exchanges.iter().zip(1..) {
            let path = folder.join(format!("{number}.request"));
            let asked = Exchange {
                path: self.renaming.string(&exchange.path),
                parameters: exchange
                    .parameters
                    .iter()
                    .map(|(name, value)| {
                        (name.clone(), self.renaming.string(value).replace('\n', " "))
                    })
                    .collect(),
                ..exchange.clone()
            };
            file(&path, asked.request().as_bytes())?;
            let mut answer = exchange.answer.head().into_bytes();
            let mut shape = self.of_pods();
            rename(
                &mut self.renaming,
                &mut shape,
                exchange.answer.body(),
                &mut answer,
            )?;
            file(&path.with_extension("answer"), &answer)?;
        }
        Ok(())
    }

    fn cursor(&mut self, name: &str, cursor: &[u8]) -> io::Result<()> {
        // `NAME-HASH`, if it is that of one schedd.
        let new = match name.rsplit_once('-') {
            Some((name, key)) => match self.renaming.hashes(key.as_bytes()) {
                Some(key) => format!("{name}-{}", String::from_utf8_lossy(&key)),
                None => name.to_owned(),
            },
            None => name.to_owned(),
        };
        let has_keys_of_names = name.starts_with("condor_");
        let mut text = Vec::with_capacity(cursor.len());
        let mut shape = Shape::Json {
            users: Vec::new(),
            hosts: &[],
        };
        let mut numbers = Numbers::default();
        for line in cursor.split_inclusive(|byte| *byte == b'\n') {
            let each = |part: Part<'_>| match part {
                Part::Text(part) | Part::Fields(part) | Part::Stays(part) | Part::User(part) => {
                    text.extend(self.renaming.fields(part));
                }
                Part::Literal(literal, _) => {
                    let said = decoded(literal);
                    let is_hashes = said.len().is_multiple_of(16)
                        && said.bytes().all(|byte| byte.is_ascii_hexdigit());
                    match (is_hashes, has_keys_of_names) {
                        // Of numbers alone.
                        (true, false) => text.extend_from_slice(literal),
                        (true, true) => text.extend(encoded(
                            &self.renaming.hashes(said.as_bytes()).unwrap_or_default(),
                        )),
                        (false, _) => text.extend(encoded(&self.renaming.fields(said.as_bytes()))),
                    }
                }
            };
            shape.parts(line, &mut numbers, each, |_| {});
        }
        let file_name = cursor_name(&new, FACILITY);
        let place = self.dir.join("state/cursors");
        file(&place.join(format!("{file_name}.json")), &text)
    }
}

fn learn_of(renaming: &mut Renaming, shape: &mut Shape, text: impl BufRead) -> io::Result<()> {
    let mut numbers = Numbers::default();
    for_each_line(text, |line| {
        let each = |part: Part<'_>| match part {
            Part::User(name) => renaming.learn_user(name),
            Part::Literal(name, Meaning::User) => {
                let name = decoded(name);
                if !is_expression(&name) {
                    renaming.learn_user(name.as_bytes());
                }
            }
            Part::Literal(name, Meaning::Host) => renaming.learn_host(decoded(name).as_bytes()),
            Part::Literal(id, Meaning::Job) => {
                drop(renaming.job_id(decoded(id).as_bytes()));
            }
            Part::Text(_) | Part::Fields(_) | Part::Stays(_) | Part::Literal(_, Meaning::Text) => {}
        };
        shape.parts(line, &mut numbers, each, |_| {});
        Ok(())
    })
}

/// Copies a text with other names in it.
fn rename(
    renaming: &mut Renaming,
    shape: &mut Shape,
    text: impl BufRead,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let mut numbers = Numbers::default();
    let mut jobs = Vec::new();
    for_each_line(text, |line| {
        let mut new = Vec::with_capacity(line.len());
        let each = |part: Part<'_>| match part {
            Part::Text(text) => new.extend(renaming.text(text)),
            Part::Fields(text) => new.extend(renaming.fields(text)),
            Part::Stays(text) => new.extend_from_slice(text),
            Part::User(name) => new.extend(renaming.user(name)),
            Part::Literal(literal, meaning) => new.extend(renamed(renaming, literal, meaning)),
        };
        shape.parts(line, &mut numbers, each, |job| jobs.push(job.to_owned()));
        // A cursor names such a job by its number, which stays.
        for job in jobs.drain(..) {
            renaming.same_key(job.as_bytes(), job.as_bytes());
        }
        out.write_all(&new)
    })
}

fn renamed(renaming: &mut Renaming, literal: &[u8], meaning: Meaning) -> Vec<u8> {
    let Some(said) = understood(literal) else {
        // What is broken stays broken.
        return renaming.text(literal);
    };
    let said = said.as_bytes();
    let new = match meaning {
        Meaning::User if !is_expression(&String::from_utf8_lossy(said)) => renaming.user(said),
        Meaning::Host => renaming.host(said),
        Meaning::Job => renaming.job_id(said),
        Meaning::User | Meaning::Text => renaming.text(said),
    };
    match new == said {
        // As it was, to the byte.
        true => literal.to_vec(),
        false => encoded(&new),
    }
}

/// What could not be evaluated is nobody.
fn is_expression(value: &str) -> bool {
    value.starts_with("/Expr(")
}

fn for_each_line(
    mut text: impl BufRead,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut line = Vec::new();
    while text.read_until(b'\n', &mut line)? > 0 {
        each(&line)?;
        line.clear();
    }
    Ok(())
}

/// Whether there is something in a folder, or it is none.
pub fn is_taken(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        entries => Ok(entries?.next().is_some()),
    }
}
