//! A folder as a power cut could leave it: from a trace of strace's, with what was synced and what was not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What strace has to watch.
pub const CALLS: &str = "trace=openat,open,creat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,\
mkdir,mkdirat,unlink,unlinkat,rmdir,ftruncate";

type Node = usize;

/// One step of the folder's history.
#[derive(Debug, Clone)]
pub enum Step {
    Link {
        dir: Node,
        name: String,
        node: Node,
    },
    Unlink {
        dir: Node,
        name: String,
    },
    Move {
        from: (Node, String),
        to: (Node, String),
        node: Node,
    },
    Write {
        node: Node,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        node: Node,
        length: usize,
    },
    /// Of a file or a folder.
    Sync(Node),
}

/// How much of what was not synced a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    Nothing,
    Everything,
    /// All names; files as far as they were synced.
    NamesAlone,
    /// All names, and files as long as they were to be, of zeros where not synced.
    Zeros,
    /// Names up to some moment, as a journal does.
    Earlier(u64),
    Some(u64),
}

/// By path below the folder; `None`: a folder.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// The history of a folder, which is there and empty at its beginning.
#[derive(Debug)]
pub struct Disk {
    top: String,
    pub steps: Vec<Step>,
    /// When each began, in seconds.
    pub times: Vec<f64>,
    /// By node: the names in a folder, or `None` for a file.
    nodes: Vec<Option<BTreeMap<String, Node>>>,
    /// By file descriptor: the file, where it writes next, whether always at the end.
    open: BTreeMap<String, (Node, usize, bool)>,
    lengths: BTreeMap<Node, usize>,
}

impl Disk {
    pub fn new(top: &Path) -> Self {
        Self {
            top: top.to_str().unwrap().to_owned(),
            steps: Vec::new(),
            times: Vec::new(),
            nodes: vec![Some(BTreeMap::new())],
            open: BTreeMap::new(),
            lengths: BTreeMap::new(),
        }
    }

    /// The node of the folder and the last name; `None`: not below our folder, or it is that.
    fn place(&self, path: &str) -> Option<(Node, String)> {
        let rest = path.strip_prefix(&self.top)?.strip_prefix('/')?;
        let mut names: Vec<&str> = rest.split('/').filter(|name| !name.is_empty()).collect();
        let last = names.pop()?;
        let mut dir = 0;
        for name in names {
            dir = *self.nodes[dir].as_ref()?.get(name)?;
        }
        Some((dir, last.to_owned()))
    }

    pub fn node(&self, path: &str) -> Option<Node> {
        if path == self.top {
            return Some(0);
        }
        let (dir, name) = self.place(path)?;
        self.nodes[dir].as_ref()?.get(&name).copied()
    }

    fn names(&mut self, dir: Node) -> &mut BTreeMap<String, Node> {
        self.nodes[dir].as_mut().unwrap()
    }

    fn step(&mut self, time: f64, step: Step) {
        self.steps.push(step);
        self.times.push(time);
    }

    fn make(&mut self, time: f64, path: &str, is_dir: bool) -> Option<Node> {
        let (dir, name) = self.place(path)?;
        let node = self.nodes.len();
        self.nodes.push(is_dir.then(BTreeMap::new));
        self.names(dir).insert(name.clone(), node);
        self.step(time, Step::Link { dir, name, node });
        Some(node)
    }

    fn write(&mut self, time: f64, node: Node, at: usize, bytes: Vec<u8>) {
        let length = self.lengths.entry(node).or_default();
        *length = (*length).max(at + bytes.len());
        self.step(time, Step::Write { node, at, bytes });
    }

    /// Changes a byte in a file, durably.
    pub fn damage(&mut self, path: &str, at: usize, byte: u8) {
        let (time, node) = (*self.times.last().unwrap(), self.node(path).unwrap());
        self.write(time, node, at, vec![byte]);
        self.step(time, Step::Sync(node));
    }

    /// Adds what strace (`-f -ttt -y -xx`) has written down.
    pub fn record(&mut self, trace: &str) {
        let mut unfinished = BTreeMap::new();
        for line in trace.lines() {
            let (thread, rest) = line.split_once(' ').unwrap();
            let (time, call) = rest.trim_start().split_once(' ').unwrap();
            let time: f64 = time.parse().unwrap();
            if let Some(begin) = call.strip_suffix("<unfinished ...>") {
                unfinished.insert(thread, (time, begin));
            } else if call.starts_with("<... ") {
                let Some((time, begin)) = unfinished.remove(thread) else {
                    continue;
                };
                let (_, end) = call.split_once("resumed>").unwrap();
                self.call(time, &format!("{begin}{end}"));
            } else {
                self.call(time, call);
            }
        }
    }

    fn call(&mut self, time: f64, call: &str) {
        let Some((name, rest)) = call.split_once('(') else {
            return;
        };
        let Some((args, result)) = rest.rsplit_once(" = ") else {
            return;
        };
        if result.starts_with('-') || result.starts_with('?') {
            return;
        }
        let args = args.trim_end().trim_end_matches(')');
        let args: Vec<&str> = args.split(", ").map(str::trim).collect();
        match name {
            "open" | "creat" => self.opened(time, &text(args[0]), call, result),
            "openat" => self.opened(time, &joined(args[0], args[1]), call, result),
            "mkdir" => {
                self.make(time, &text(args[0]), true);
            }
            "mkdirat" => {
                self.make(time, &joined(args[0], args[1]), true);
            }
            "rename" => self.moved(time, &text(args[0]), &text(args[1])),
            "renameat" | "renameat2" => {
                self.moved(time, &joined(args[0], args[1]), &joined(args[2], args[3]))
            }
            "unlink" | "rmdir" => self.gone(time, &text(args[0])),
            "unlinkat" => self.gone(time, &joined(args[0], args[1])),
            "fsync" | "fdatasync" => {
                if let Some(node) = self.node(&path_of(args[0])) {
                    self.step(time, Step::Sync(node));
                }
            }
            "ftruncate" => self.cut(time, &path_of(args[0]), args[1].parse().unwrap()),
            "write" | "pwrite64" => self.written(time, &args),
            other => panic!("strace was not asked for {other}"),
        }
    }

    fn opened(&mut self, time: f64, path: &str, call: &str, result: &str) {
        if self.place(path).is_none() || call.contains("O_TMPFILE") || call.contains("O_DIRECTORY")
        {
            return;
        }
        let node = match self.node(path) {
            Some(node) => node,
            None => self.make(time, path, false).unwrap(),
        };
        if call.contains("O_TRUNC") {
            self.cut(time, path, 0);
        }
        let descriptor = result.split('<').next().unwrap().to_owned();
        self.open
            .insert(descriptor, (node, 0, call.contains("O_APPEND")));
    }

    fn written(&mut self, time: f64, args: &[&str]) {
        let Some(node) = self.node(&path_of(args[0])) else {
            return;
        };
        let bytes = bytes(args[1]);
        let at = match args.get(3) {
            Some(at) => at.parse().unwrap(),
            None => {
                let descriptor = args[0].split('<').next().unwrap();
                let (known, at, appends) = self.open.get_mut(descriptor).unwrap();
                assert_eq!(*known, node);
                if *appends {
                    *at = self.lengths.get(&node).copied().unwrap_or_default();
                }
                let begin = *at;
                *at += bytes.len();
                begin
            }
        };
        self.write(time, node, at, bytes);
    }

    fn cut(&mut self, time: f64, path: &str, length: usize) {
        if let Some(node) = self.node(path) {
            self.lengths.insert(node, length);
            self.step(time, Step::Cut { node, length });
        }
    }

    fn moved(&mut self, time: f64, from: &str, to: &str) {
        let (Some(from), Some(to)) = (self.place(from), self.place(to)) else {
            return;
        };
        let node = self.names(from.0).remove(&from.1).unwrap();
        self.names(to.0).insert(to.1.clone(), node);
        self.step(time, Step::Move { from, to, node });
    }

    fn gone(&mut self, time: f64, path: &str) {
        if let Some((dir, name)) = self.place(path) {
            self.names(dir).remove(&name);
            self.step(time, Step::Unlink { dir, name });
        }
    }

    /// What a power cut behind so many steps leaves.
    pub fn after(&self, steps: usize, left: Left) -> Tree {
        let steps = &self.steps[..steps];
        let mut random = fastrand::Rng::with_seed(match left {
            Left::Some(seed) | Left::Earlier(seed) => seed,
            _ => 0,
        });
        let until = match left {
            Left::Earlier(_) => random.usize(..=steps.len()),
            _ => 0,
        };
        let mut folders: BTreeMap<Node, BTreeMap<&str, Node>> = BTreeMap::new();
        let mut files: BTreeMap<Node, Vec<u8>> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            let is_synced = steps[number..].iter().any(|later| match later {
                Step::Sync(node) => step.touches(*node),
                _ => false,
            });
            let is_kept = is_synced
                || match left {
                    Left::Nothing => false,
                    Left::Everything => true,
                    Left::NamesAlone | Left::Zeros => step.is_of_names(),
                    Left::Earlier(_) => number < until && step.is_of_names(),
                    Left::Some(_) => random.bool(),
                };
            let is_zeros = !is_synced
                && !step.is_of_names()
                && match left {
                    Left::Zeros => true,
                    Left::Some(_) => random.u8(..4) == 0,
                    _ => false,
                };
            match step {
                Step::Link { dir, name, node } if is_kept => {
                    folders.entry(*dir).or_default().insert(name, *node);
                }
                Step::Unlink { dir, name } if is_kept => {
                    folders.entry(*dir).or_default().remove(name.as_str());
                }
                Step::Move { from, to, node } if is_kept => {
                    let old = folders.entry(from.0).or_default();
                    if old.get(from.1.as_str()) == Some(node) {
                        old.remove(from.1.as_str());
                    }
                    folders.entry(to.0).or_default().insert(&to.1, *node);
                }
                Step::Write { node, at, bytes } if is_kept || is_zeros => {
                    let file = files.entry(*node).or_default();
                    let end = at + bytes.len();
                    file.resize(file.len().max(end), 0);
                    match is_zeros {
                        true => file[*at..end].fill(0),
                        false => file[*at..end].copy_from_slice(bytes),
                    }
                }
                Step::Cut { node, length } if is_kept => {
                    files.entry(*node).or_default().resize(*length, 0);
                }
                _ => {}
            }
        }
        let mut tree = Tree::new();
        self.plant(&mut tree, &folders, &files, 0, "");
        tree
    }

    fn plant(
        &self,
        tree: &mut Tree,
        folders: &BTreeMap<Node, BTreeMap<&str, Node>>,
        files: &BTreeMap<Node, Vec<u8>>,
        dir: Node,
        path: &str,
    ) {
        for (name, node) in folders.get(&dir).into_iter().flatten() {
            let path = format!("{path}/{name}");
            if self.nodes[*node].is_some() {
                tree.insert(path.clone(), None);
                self.plant(tree, folders, files, *node, &path);
            } else {
                let content = files.get(node).cloned().unwrap_or_default();
                tree.insert(path, Some(content));
            }
        }
    }
}

impl Step {
    fn is_of_names(&self) -> bool {
        matches!(
            self,
            Self::Link { .. } | Self::Unlink { .. } | Self::Move { .. }
        )
    }

    /// Whether a sync of this file or folder makes the step durable.
    fn touches(&self, synced: Node) -> bool {
        match self {
            Self::Link { dir, .. } | Self::Unlink { dir, .. } => *dir == synced,
            Self::Move { from, to, .. } => from.0 == synced || to.0 == synced,
            Self::Write { node, .. } | Self::Cut { node, .. } => *node == synced,
            Self::Sync(_) => false,
        }
    }
}

/// Makes a tree real.
pub fn write(tree: &Tree, top: &Path) {
    for (path, content) in tree {
        let path = top.join(path.trim_start_matches('/'));
        match content {
            None => fs::create_dir(path).unwrap(),
            Some(content) => fs::write(path, content).unwrap(),
        }
    }
}

/// `\x2f\x74`, as `-xx` writes all text.
fn hex(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .map(|byte| u8::from_str_radix(&byte[..2], 16).unwrap())
        .collect()
}

fn bytes(quoted: &str) -> Vec<u8> {
    assert!(!quoted.ends_with("..."), "cut by strace");
    hex(quoted.trim_matches('"'))
}

fn text(quoted: &str) -> String {
    String::from_utf8(bytes(quoted)).unwrap()
}

/// `12</path>`
fn path_of(descriptor: &str) -> String {
    let path = descriptor.split_once('<').map_or("", |(_, path)| path);
    String::from_utf8_lossy(&hex(path.trim_end_matches('>'))).into_owned()
}

fn joined(folder: &str, name: &str) -> String {
    let name = text(name);
    match name.starts_with('/') {
        true => name,
        false => format!("{}/{name}", path_of(folder)),
    }
}
