//! Other names for everybody and everything in a recording, the same one wherever a name stands.
//!
//! What may stay is said, not what must go: numbers, and the words in `words.rs`, which are those of the tools. Every
//! other word is replaced. What stands where a name stands is one, also if it is such a word, and is replaced
//! elsewhere, too, unless the collectors depend on the word there.
//!
//! ```text
//! user        canary-7                    host    host7.canary.example
//! this node   login01.canary.example      other   word7
//! IPv4        192.0.2.7                   IPv6    2001:db8::7
//! ```
//!
//! Which name became which is kept nowhere.

use std::collections::HashMap;

use super::LOGIN_NODE;
use super::addresses::Addresses;
use super::words::Words;
use crate::sources::keys::hash;

/// A name that `who` prints in full has at most so many bytes; `last` cuts it by one.
const LONGEST_IN_WHO: usize = 32;
/// No name is longer, as far as we look for one.
const LONGEST: usize = 256;
/// Names that are nobody's, and that the collectors or their defaults know.
const NOBODYS: [&str; 8] = [
    "root",
    "nobody",
    "reboot",
    "shutdown",
    "runlevel",
    "wtmp",
    "btmp",
    "atlas-coffea",
];
const LOCAL_HOSTS: [&str; 3] = ["localhost", "localhost.localdomain", "localhost.local"];

/// What a number is that is also somebody's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    Name,
    /// A number, unless it is a part of something longer, like a path.
    Amount,
}

/// What each name becomes.
#[derive(Debug, Default)]
pub struct Renaming {
    words: Words,
    users: HashMap<Vec<u8>, Vec<u8>>,
    /// Users that are known and have no other name yet.
    waiting: Vec<Vec<u8>>,
    user_count: usize,
    /// In small letters.
    hosts: HashMap<Vec<u8>, Vec<u8>>,
    host_count: usize,
    others: HashMap<Vec<u8>, Vec<u8>>,
    addresses: Addresses,
    /// What names a job in a cursor.
    keys: HashMap<u64, u64>,
    strange_keys: u64,
}

impl Renaming {
    /// Notes that this is somebody's name, before anything is replaced.
    pub fn learn_user(&mut self, name: &[u8]) {
        if !name.is_empty() && !is_nobodys(name) && !self.users.contains_key(name) {
            self.users.insert(name.to_vec(), Vec::new());
            self.waiting.push(name.to_vec());
        }
    }

    /// Notes that this is a host's name.
    pub fn learn_host(&mut self, name: &[u8]) {
        if !name.is_empty() {
            self.host(name);
        }
    }

    /// Notes what this node is called.
    pub fn learn_node(&mut self, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        if name.is_empty() || is_local(&name) {
            return;
        }
        let (short, _) = LOGIN_NODE.split_once('.').unwrap_or((LOGIN_NODE, ""));
        let first = first_label(&name).to_vec();
        self.hosts.insert(first, short.into());
        self.hosts.insert(name, LOGIN_NODE.into());
    }

    /// Gives everybody another name. Those of the full length go first, as a name that was cut is that name cut.
    pub fn settle(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|name| name.len() != LONGEST_IN_WHO);
        for name in &waiting {
            self.name_user(name, &waiting);
        }
    }

    fn name_user(&mut self, name: &[u8], all: &[Vec<u8>]) {
        const CUT: usize = LONGEST_IN_WHO - 1;
        self.user_count += 1;
        let plain = format!("canary-{}", self.user_count).into_bytes();
        let new = match name.len() {
            LONGEST_IN_WHO => filled(plain, LONGEST_IN_WHO),
            CUT => {
                let whole = all
                    .iter()
                    .find(|whole| whole.len() == LONGEST_IN_WHO && whole.starts_with(name));
                whole
                    .and_then(|whole| self.users.get(whole)?.get(..CUT))
                    .map_or_else(|| filled(plain, CUT), <[u8]>::to_vec)
            }
            _ => plain,
        };
        self.users.insert(name.to_vec(), new);
    }

    /// How a user is called.
    pub fn user(&mut self, name: &[u8]) -> Vec<u8> {
        if name.is_empty() || is_nobodys(name) {
            return name.to_vec();
        }
        self.learn_user(name);
        self.settle();
        self.users[name].clone()
    }

    /// How a host is called, in whatever letters.
    pub fn host(&mut self, name: &[u8]) -> Vec<u8> {
        let name = name.to_ascii_lowercase();
        if name.is_empty() || is_local(&name) {
            return name;
        }
        if let Some(new) = self.hosts.get(&name) {
            return new.clone();
        }
        self.host_count += 1;
        let (short, long) = (
            format!("host{}", self.host_count),
            format!("host{}.canary.example", self.host_count),
        );
        // `NAME@HOST` is what a schedd is called beside another one.
        let own = name.rsplit(|byte| *byte == b'@').next().unwrap_or(&name);
        let label = first_label(own).to_vec();
        if label.len() < own.len() && !self.words.is_known(&label) && !is_number(&label) {
            self.hosts.entry(label).or_insert_with(|| short.into());
        }
        self.hosts.insert(name, long.clone().into());
        long.into()
    }

    /// Any text with other names in it.
    pub fn text(&mut self, text: &[u8]) -> Vec<u8> {
        self.renamed(text, Digits::Name)
    }

    /// The same of a table or the like, where a number that stands alone is an amount also if somebody is called so.
    pub fn fields(&mut self, text: &[u8]) -> Vec<u8> {
        self.renamed(text, Digits::Amount)
    }

    fn renamed(&mut self, text: &[u8], digits: Digits) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 16);
        let mut at = 0;
        while at < text.len() {
            let (length, new) = self.piece(text, at, digits);
            match new {
                Some(new) => out.extend(new),
                None => out.extend_from_slice(&text[at..at + length]),
            }
            at += length;
        }
        out
    }

    /// The same of what is text.
    pub fn string(&mut self, text: &str) -> String {
        String::from_utf8_lossy(&self.text(text.as_bytes())).into_owned()
    }

    /// How many bytes here belong together, and what becomes of them, if they do not stay.
    fn piece(&mut self, text: &[u8], at: usize, digits: Digits) -> (usize, Option<Vec<u8>>) {
        let (before, rest) = text.split_at(at);
        if is_octal(rest) {
            return (4, None);
        }
        if is_percent(rest) && self.known_name(&rest[1..], b"%", digits).is_none() {
            return (3, None);
        }
        // No letters are before it where they are those of `%3d`.
        let before = match before.last_chunk::<3>() {
            Some(last) if is_percent(last) => &before[..before.len() - 2],
            _ => before,
        };
        if let Some(found) = self.addresses.usual(rest, before) {
            return found;
        }
        if let Some(found) = self.known_name(rest, before, digits) {
            return found;
        }
        if let Some(length) = dotted(rest)
            && !self.is_of_known_words(&rest[..length])
        {
            return (length, Some(self.host(&rest[..length])));
        }
        if let Some(found) = self.addresses.dashed(rest, before) {
            return found;
        }
        let length = run(rest);
        if length == 0 {
            return (1, None);
        }
        (length, self.other(&rest[..length], digits))
    }

    /// The longest name of somebody, or of a host, that begins here.
    fn known_name(
        &self,
        rest: &[u8],
        before: &[u8],
        digits: Digits,
    ) -> Option<(usize, Option<Vec<u8>>)> {
        let longest = rest
            .iter()
            .take(LONGEST)
            .take_while(|byte| is_of_names(**byte))
            .count();
        let small = rest[..longest].to_ascii_lowercase();
        let is_end = |end: usize| {
            rest.get(end)
                .is_none_or(|next| !(is_word(*next) && is_word(rest[end - 1])))
        };
        (1..=longest)
            .rev()
            .filter(|end| is_end(*end))
            .find_map(|end| {
                let name = &rest[..end];
                let new = self
                    .users
                    .get(name)
                    .or_else(|| self.hosts.get(&small[..end]))?;
                let is_amount = is_number(name)
                    && (!is_long_number(name)
                        || digits == Digits::Amount && is_alone(before, &rest[end..]));
                let stays = is_amount || self.words.is_needed(name);
                (!stays).then(|| (end, Some(new.clone())))
            })
    }

    fn is_of_known_words(&self, name: &[u8]) -> bool {
        name.split(|byte| !is_word(*byte))
            .all(|word| word.is_empty() || is_number(word) || self.words.is_known(word))
    }

    /// `None`: it may stay.
    fn other(&mut self, word: &[u8], digits: Digits) -> Option<Vec<u8>> {
        let is_letter = word.len() == 1 && word[0].is_ascii();
        let is_amount = is_number(word) && !(digits == Digits::Name && self.begins_with_user(word));
        if is_letter || is_amount || self.words.is_known(word) {
            return None;
        }
        let number = self.others.len() + 1;
        let new = self
            .others
            .entry(word.to_vec())
            .or_insert_with(|| format!("word{number}").into());
        Some(new.clone())
    }

    /// Whether the digits here are somebody's name: `20231234_1`.
    fn begins_with_user(&self, word: &[u8]) -> bool {
        let end = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        is_long_number(word) && self.users.contains_key(&word[..end])
    }

    /// `SCHEDD#CLUSTER.PROC#TIME`, which cursors have as a hash.
    pub fn job_id(&mut self, id: &[u8]) -> Vec<u8> {
        let new = match id.iter().position(|byte| *byte == b'#') {
            Some(end) => {
                let schedd = self.host(&id[..end]);
                self.same_key(&id[..end].to_ascii_lowercase(), &schedd);
                let rest = self.text(&id[end..]);
                [schedd, rest].concat()
            }
            None => self.text(id),
        };
        self.same_key(id, &new);
        new
    }

    /// What is called one way in the old cursors is called the other way in the new ones.
    pub fn same_key(&mut self, old: &[u8], new: &[u8]) {
        let [old, new] = [old, new].map(|key| hash(&String::from_utf8_lossy(key)));
        self.keys.insert(old, new);
    }

    /// Every host's name is the key of its cursor.
    pub fn learn_keys_of_hosts(&mut self) {
        let hosts: Vec<_> = self.hosts.clone().into_iter().collect();
        for (old, new) in hosts {
            self.same_key(&old, &new);
        }
        self.same_key(b"", b"");
    }

    /// Hashes of jobs or hosts, 16 hex digits each; `None`: it is something else. Those of jobs that are not in this
    /// recording become others: a name could be guessed by its hash.
    pub fn hashes(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        const DIGITS: usize = 16;
        if text.is_empty() || !text.len().is_multiple_of(DIGITS) {
            return None;
        }
        let mut new = Vec::with_capacity(text.len());
        for digits in text.chunks(DIGITS) {
            let digits = std::str::from_utf8(digits).ok()?;
            let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let old = u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
            let strange = &mut self.strange_keys;
            let key = self.keys.entry(old).or_insert_with(|| {
                *strange += 1;
                hash(&format!("not in this recording: {strange}"))
            });
            new.extend(format!("{key:016x}").bytes());
        }
        Some(new)
    }

    /// How many users, hosts and other words have other names.
    pub fn counts(&self) -> [usize; 3] {
        let hosts = self.host_count + self.addresses.count();
        [self.users.len(), hosts, self.others.len()]
    }
}

fn is_nobodys(name: &[u8]) -> bool {
    NOBODYS.iter().any(|known| known.as_bytes() == name)
}

fn is_local(name: &[u8]) -> bool {
    LOCAL_HOSTS.iter().any(|known| known.as_bytes() == name)
}

fn first_label(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b'.').next().unwrap_or(name)
}

/// As long as what it stands for.
fn filled(mut name: Vec<u8>, length: usize) -> Vec<u8> {
    name.push(b'-');
    name.resize(length, b'x');
    name
}

/// What words are made of. All that is not ASCII is.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// What names are made of, besides.
fn is_of_names(byte: u8) -> bool {
    is_word(byte) || b".-@+$~".contains(&byte)
}

fn run(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_word(**byte)).count()
}

/// `\040`, which is no number.
fn is_octal(text: &[u8]) -> bool {
    matches!(text, [b'\\', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..])
}

/// `%3d`: a character that must not stand in an address of HTCondor. Those of letters are left to names.
fn is_percent(text: &[u8]) -> bool {
    matches!(text, [b'%', b'2'..=b'7', digit, ..] if digit.is_ascii_hexdigit())
}

/// A number that can be the one of a person: the shorter ones are everywhere.
fn is_long_number(word: &[u8]) -> bool {
    const SHORTEST: usize = 5;
    word.len() >= SHORTEST && word[..SHORTEST].iter().all(u8::is_ascii_digit)
}

/// Whether what stands between these is a whole field, or the beginning of one as that of a job: `12345.batch`.
fn is_alone(before: &[u8], after: &[u8]) -> bool {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x1f;
    let begins = before
        .last()
        .is_none_or(|byte| is_blank(byte) || b":,[=".contains(byte));
    let ends = after
        .first()
        .is_none_or(|byte| is_blank(byte) || b",]}._+".contains(byte));
    begins && ends
}

/// The length of something like `wn7.example.org`: of several labels, the last one of letters.
fn dotted(text: &[u8]) -> Option<usize> {
    let of_hosts = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'.';
    let mut name = &text[..text.iter().take_while(|byte| of_hosts(byte)).count()];
    if !text.first()?.is_ascii_alphanumeric() || text.get(name.len()).is_some_and(|b| is_word(*b)) {
        return None;
    }
    while let [rest @ .., b'.' | b'-'] = name {
        name = rest;
    }
    let mut labels = name.rsplit(|byte| *byte == b'.');
    let last = labels.next()?;
    let is_host = last.len() > 1
        && last.iter().all(u8::is_ascii_alphabetic)
        && labels.clone().next().is_some()
        && labels.all(|label| !label.is_empty());
    is_host.then_some(name.len())
}

/// Digits, also of a task (`3_1`), a date (`23T11`), a real (`1e5`), or with a unit (`64M`).
fn is_number(word: &[u8]) -> bool {
    const UNITS: [&str; 24] = [
        "", "K", "M", "G", "T", "P", "B", "k", "kB", "KB", "MB", "GB", "TB", "Kn", "Mn", "Gn",
        "Kc", "Mc", "Gc", "s", "ms", "min", "h", "Z",
    ];
    let digits = |word: &[u8]| word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let first = digits(word);
    let rest = &word[first..];
    let is_end = |rest: &[u8]| UNITS.iter().any(|unit| unit.as_bytes() == rest);
    first > 0
        && match rest {
            b"_" | b"e" | b"E" => true,
            [b'T' | b'e' | b'E' | b'_', more @ ..] if digits(more) > 0 => {
                is_end(&more[digits(more)..])
            }
            rest => is_end(rest),
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn renaming() -> Renaming {
        let mut renaming = Renaming::default();
        renaming.learn_node(b"wn7.zz-site.example");
        renaming.learn_host(b"sched1@batch3.zz-site.example");
        for name in ["zz-bob", "mark", "running", "j.d", "12345"] {
            renaming.learn_user(name.as_bytes());
        }
        renaming.settle();
        renaming
    }

    #[test]
    fn words_of_the_tools_and_numbers_stay_and_others_go() {
        let mut renaming = renaming();
        for stays in [
            "Nov 22 20:11",
            "-- Failed to fetch ads from:",
            "64M 3_1 3_[1-2] 2026-11-23T11:00:12 1.5e5 127.0.0.1 ::1",
            "ext4 rw,relatime 0 0",
            "Owner == running",
            r"/mnt/with\040",
            "slurm.conf",
        ] {
            assert_eq!(renaming.string(stays), stays);
        }
        for (from, to) in [
            ("/home/zz-bob/x", "/home/canary-1/x"),
            ("zz-bob-notebook", "canary-1-notebook"),
            ("zz-bobby", "word1-word2"),
            ("zz-bob@batch3", "canary-1@host1"),
            ("mark", "canary-2"),
            ("at WN7:", "at login01:"),
            ("wn7.zz-site.example.", "login01.canary.example."),
            ("other.zz-site.example", "host2.canary.example"),
            ("<10.1.2.3:9618>", "<192.0.2.1:9618>"),
            ("fe80::1%eth0", "2001:db8::1%eth0"),
            ("12345 20:11:54", "canary-5 20:11:54"),
            ("jupyter-12345", "jupyter-canary-5"),
            ("/home/12345/x", "/home/canary-5/x"),
            ("12345_1", "word3"),
            ("%12345 %2012345", "%canary-5 %20canary-5"),
            ("j.d.", "canary-4."),
        ] {
            assert_eq!(renaming.string(from), to);
        }
        assert_eq!(renaming.user(b"running"), b"canary-3");
        assert_eq!(renaming.user(b"12345"), b"canary-5");
        assert_eq!(renaming.user(b"root"), b"root");
    }

    #[test]
    fn a_number_that_is_somebodys_name_is_one_unless_it_is_a_field() {
        let mut renaming = renaming();
        for stays in [
            "12345 12345.67 12345\x1f12345.batch\x1f12345_1\x1f",
            r#": 12345, [12345,12345] "x":12345}"#,
        ] {
            assert_eq!(renaming.fields(stays.as_bytes()), stays.as_bytes());
        }
        for (from, to) in [
            (
                "fs:/home/12345 /home/12345",
                "word1:/home/canary-5 /home/canary-5",
            ),
            ("(12345) 12345@x", "(canary-5) canary-5@x"),
        ] {
            assert_eq!(renaming.fields(from.as_bytes()), to.as_bytes());
        }
    }

    #[test]
    fn a_name_that_was_cut_stays_the_beginning_of_the_whole_one() {
        let mut renaming = Renaming::default();
        let whole = b"zz-a-name-of-as-many-as-32-bytes";
        renaming.learn_user(&whole[..31]);
        renaming.learn_user(whole);
        renaming.settle();
        let new = renaming.user(whole);
        assert_eq!(new.len(), 32);
        assert_eq!(renaming.user(&whole[..31]), new[..31]);
    }

    #[test]
    fn what_names_a_job_in_a_cursor_goes_with_the_job() {
        let mut renaming = renaming();
        let new = renaming.job_id(b"zz-schedd#1.0#7");
        assert_eq!(new, b"host2.canary.example#1.0#7");
        let hashes = |text: &str| format!("{:016x}", hash(text));
        let cursor = hashes("zz-schedd#1.0#7") + &hashes("zz-schedd") + &hashes("another");
        let renamed = renaming.hashes(cursor.as_bytes()).unwrap();
        let renamed = String::from_utf8(renamed).unwrap();
        let wanted = hashes("host2.canary.example#1.0#7") + &hashes("host2.canary.example");
        assert_eq!(renamed[..32], wanted);
        assert_ne!(renamed[32..], hashes("another"));
        assert_eq!(renaming.hashes(b"eth0"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_renamed_and_the_same_way_each_time(
            text in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut renaming = renaming();
            let first = renaming.text(&text);
            prop_assert_eq!(renaming.text(&text), first);
        }

        /// One name never becomes two, nor two names one.
        #[test]
        fn names_stay_different(names in prop::collection::hash_set("[a-zA-Z0-9._-]{1,33}", 2..20)) {
            let mut renaming = Renaming::default();
            let mut hosts = Renaming::default();
            for name in &names {
                renaming.learn_user(name.as_bytes());
            }
            renaming.settle();
            let new: std::collections::HashSet<_> =
                names.iter().map(|name| renaming.user(name.as_bytes())).collect();
            prop_assert_eq!(new.len(), names.len());
            let lower: std::collections::HashSet<_> =
                names.iter().map(|name| name.to_ascii_lowercase()).collect();
            let new: std::collections::HashSet<_> =
                lower.iter().map(|name| hosts.host(name.as_bytes())).collect();
            prop_assert_eq!(new.len(), lower.len());
        }

        /// Whatever surrounds a name: it is not there any more.
        #[test]
        fn no_name_is_left(before in "[ -~]{0,12}", after in "[ -~]{0,12}", name in "zz-[a-z0-9]{4,12}q") {
            let mut renaming = Renaming::default();
            renaming.learn_user(name.as_bytes());
            renaming.settle();
            let text = format!("{before}{name}{after}");
            let renamed = renaming.string(&text);
            prop_assert!(!renamed.contains(&name[3..]), "{renamed}");
        }
    }
}
