//! A JSON list, cut into its objects as it comes.

use std::ops::Range;

/// The largest ClassAd we take. With a projection of a few attributes one is 200 bytes.
pub const LARGEST: usize = 1 << 20;
/// What is read at a time: a pipe holds no more.
const CHUNK: usize = 64 << 10;

/// Part of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// From brace to brace; it begins on this line.
    Object { line: u64, range: Range<usize> },
    /// Something that is not part of a list of objects.
    Junk { line: u64, why: &'static str },
}

/// Finds the objects in a stream of JSON, without understanding them. It goes on behind a broken
/// one: HTCondor's objects begin with a brace in the first column, and nothing inside them does.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// How much of the buffer holds input.
    end: usize,
    /// How much of it has been looked at.
    at: usize,
    /// Where the object at hand begins, and on which line.
    object: Option<(usize, u64)>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    line: u64,
    column: u64,
    /// The last line on which junk was reported: what else stands there is junk, too.
    junk: u64,
    /// Lists that have begun and not ended.
    open: u64,
    /// Whether there was anything but blanks and commas.
    has_content: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            end: 0,
            at: 0,
            object: None,
            depth: 0,
            in_string: false,
            escaped: false,
            line: 1,
            column: 0,
            junk: 0,
            open: 0,
            has_content: false,
        }
    }
}

impl Splitter {
    /// Where to read to.
    pub fn room(&mut self) -> &mut [u8] {
        let keep = self.object.map_or(self.at, |(start, _)| start);
        self.buffer.copy_within(keep..self.end, 0);
        self.end -= keep;
        self.at -= keep;
        if let Some((start, _)) = &mut self.object {
            *start -= keep;
        }
        if self.buffer.len() < self.end + CHUNK {
            self.buffer.resize(self.end + CHUNK, 0);
        }
        &mut self.buffer[self.end..]
    }

    pub fn filled(&mut self, read: usize) {
        self.end += read;
    }

    /// How much is held of an object that is not complete.
    pub fn held(&self) -> usize {
        self.object.map_or(0, |(start, _)| self.end - start)
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Whether the input, if this was all of it, ended too early.
    pub fn is_cut(&self) -> bool {
        self.object.is_some() || self.open > 0
    }

    /// Whether there was input, and nothing in it: an empty list is no output or has brackets.
    pub fn is_hollow(&self) -> bool {
        (self.line, self.column) != (1, 0) && !self.has_content
    }

    pub fn next(&mut self) -> Option<Piece> {
        while self.at < self.end {
            let byte = self.buffer[self.at];
            let column = self.column;
            self.at += 1;
            self.column += 1;
            if byte == b'\n' {
                self.line += 1;
                self.column = 0;
                // No string of JSON goes over the end of a line.
                self.in_string = false;
                self.escaped = false;
                continue;
            }
            let piece = match self.object {
                Some((start, line)) => self.inside(byte, column, start, line),
                None => self.outside(byte),
            };
            if piece.is_some() {
                return piece;
            }
        }
        None
    }

    fn inside(&mut self, byte: u8, column: u64, start: usize, line: u64) -> Option<Piece> {
        if column == 0 && matches!(byte, b'{' | b']') {
            self.object = None;
            self.at -= 1;
            self.column = 0;
            return Some(Piece::Junk {
                line,
                why: "an object without end",
            });
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.object = None;
                    return Some(Piece::Object {
                        line,
                        range: start..self.at,
                    });
                }
            }
            _ => {}
        }
        None
    }

    fn outside(&mut self, byte: u8) -> Option<Piece> {
        self.has_content |= !matches!(byte, b',' | b' ' | b'\t' | b'\r');
        match byte {
            _ if self.junk == self.line => {}
            b'[' => self.open += 1,
            b']' if self.open > 0 => self.open -= 1,
            b',' | b' ' | b'\t' | b'\r' => {}
            b'{' => {
                self.object = Some((self.at - 1, self.line));
                self.depth = 1;
            }
            _ => {
                self.junk = self.line;
                return Some(Piece::Junk {
                    line: self.line,
                    why: "not part of a JSON list",
                });
            }
        }
        None
    }
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    /// What a splitter found: the line, and the object's bytes or why it is none.
    type Found = (u64, Result<Vec<u8>, &'static str>);

    /// Reads an input in chunks of these lengths, the last one again and again, and tells what was
    /// found and whether the input was cut.
    fn split(input: &[u8], chunks: &[usize]) -> (Vec<Found>, bool) {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        let mut rest = input;
        let mut chunks = chunks.iter().copied();
        let mut chunk = CHUNK;
        while !rest.is_empty() {
            chunk = chunks.next().unwrap_or(chunk);
            let room = splitter.room();
            let read = chunk.min(rest.len()).min(room.len());
            room[..read].copy_from_slice(&rest[..read]);
            rest = &rest[read..];
            splitter.filled(read);
            while let Some(piece) = splitter.next() {
                found.push(match piece {
                    Piece::Object { line, range } => (line, Ok(splitter.bytes(range).to_vec())),
                    Piece::Junk { line, why } => (line, Err(why)),
                });
            }
        }
        (found, splitter.is_cut())
    }

    fn objects(found: Vec<Found>) -> Vec<Map<String, Value>> {
        found
            .into_iter()
            .filter_map(|(_, object)| serde_json::from_slice(&object.ok()?).ok())
            .collect()
    }

    /// An ad's lines, as HTCondor prints them.
    fn lines(ad: &Map<String, Value>) -> Vec<String> {
        let mut lines = vec!["{".to_owned()];
        for (number, (name, value)) in ad.iter().enumerate() {
            let comma = if number + 1 < ad.len() { "," } else { "" };
            lines.push(format!("  {}: {value}{comma}", Value::from(name.as_str())));
        }
        lines.push("}".to_owned());
        lines
    }

    /// A list, as HTCondor prints it.
    fn print(ads: &[Vec<String>]) -> String {
        let ads: Vec<String> = ads.iter().map(|lines| lines.join("\n")).collect();
        format!("[\n{}\n]\n", ads.join("\n,\n"))
    }

    pub fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~]{0,12}|[\\]\\[{}\"\\\\,:\n]{0,6}|\\PC{0,4}".prop_map(Value::from),
        ];
        scalar.prop_recursive(2, 6, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z{]{1,3}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Ads that differ in `Id`, which counts from 0.
    fn ads() -> impl Strategy<Value = Vec<Map<String, Value>>> {
        let ad = prop::collection::btree_map("[A-Z][a-z]{1,5}", value(), 0..4);
        prop::collection::vec(ad, 1..8).prop_map(|ads| {
            ads.into_iter()
                .zip(0..)
                .map(|(ad, id): (_, u64)| {
                    let mut ad: Map<String, Value> = ad.into_iter().collect();
                    ad.insert("Id".to_owned(), Value::from(id));
                    ad
                })
                .collect()
        })
    }

    fn chunks() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(1_usize..40, 1..20)
    }

    /// Ways in which an ad can be broken.
    #[derive(Debug, Clone, Copy)]
    enum Break {
        NoEnd,
        NoValue,
        OpenBrace,
        OpenBracket,
        OpenString,
        EarlyEnd,
        CutOff,
    }

    fn broken(lines: &mut Vec<String>, how: Break) {
        let last = lines.len() - 1;
        match how {
            Break::NoEnd => drop(lines.pop()),
            Break::NoValue => lines[last - 1] = "  \"Broken\": ".to_owned(),
            Break::OpenBrace => lines[last - 1] = "  \"Broken\": {".to_owned(),
            Break::OpenBracket => lines[last - 1] = "  \"Broken\": [ 1, 2".to_owned(),
            Break::OpenString => lines[last - 1] = "  \"Broken\": \"x".to_owned(),
            Break::EarlyEnd => {
                lines.insert(1, "  \"Broken\": 1,".to_owned());
                lines.insert(2, "}".to_owned());
            }
            Break::CutOff => lines.truncate(1),
        }
    }

    proptest! {
        #[test]
        fn bytes_in_any_chunks_never_panic_and_chunks_do_not_matter(
            bytes in prop::collection::vec(
                prop_oneof![
                    4 => prop::sample::select(b"{}[],\"\\\n :a1".to_vec()),
                    1 => any::<u8>(),
                ],
                0..200,
            ),
            chunks in chunks(),
        ) {
            prop_assert_eq!(split(&bytes, &chunks), split(&bytes, &[CHUNK]));
        }

        #[test]
        fn a_list_survives_any_chunks(ads in ads(), chunks in chunks()) {
            let text = print(&ads.iter().map(lines).collect::<Vec<_>>());
            let (found, is_cut) = split(text.as_bytes(), &chunks);
            prop_assert!(!is_cut);
            prop_assert_eq!(found.len(), ads.len(), "no junk");
            prop_assert_eq!(objects(found), ads);
        }

        #[test]
        fn a_broken_ad_costs_itself_only(
            ads in ads(),
            which: prop::sample::Index,
            how in prop::sample::select(vec![
                Break::NoEnd, Break::NoValue, Break::OpenBrace, Break::OpenBracket,
                Break::OpenString, Break::EarlyEnd, Break::CutOff,
            ]),
            chunks in chunks(),
        ) {
            let which = which.index(ads.len());
            let mut printed: Vec<Vec<String>> = ads.iter().map(lines).collect();
            broken(&mut printed[which], how);
            let (found, is_cut) = split(print(&printed).as_bytes(), &chunks);
            prop_assert!(!is_cut);
            prop_assert!(found.len() >= ads.len(), "it is counted");
            let mut others = ads;
            others.remove(which);
            prop_assert_eq!(objects(found), others);
        }

        #[test]
        fn a_cut_list_is_noticed(ads in ads(), at: prop::sample::Index, chunks in chunks()) {
            let text = print(&ads.iter().map(lines).collect::<Vec<_>>());
            // From behind the first bracket to before the last.
            let end = 1 + at.index(text.len() - 2);
            prop_assert!(split(&text.as_bytes()[..end], &chunks).1);
        }
    }

    #[test]
    fn brackets_in_other_lines_do_not_hide_a_cut() {
        let list = "[\n{\n  \"Id\": 1\n}\n";
        for before in ["", "a note ]\n", "]\n", "a note {\n", "a note [\n"] {
            let (found, is_cut) = split(format!("{before}{list}").as_bytes(), &[CHUNK]);
            assert!(is_cut, "{before:?}");
            assert_eq!(objects(found).len(), 1, "{before:?}");
            let (_, is_cut) = split(format!("{before}{list}]\n").as_bytes(), &[CHUNK]);
            assert!(!is_cut, "{before:?}");
        }
    }

    #[test]
    fn what_is_empty_is_not_cut_and_a_lone_bracket_is() {
        assert_eq!(split(b"", &[CHUNK]), (Vec::new(), false));
        assert_eq!(split(b"[\n]\n", &[CHUNK]), (Vec::new(), false));
        assert_eq!(split(b"[\n", &[CHUNK]), (Vec::new(), true));
    }

    #[test]
    fn what_has_bytes_and_no_brackets_is_hollow() {
        for (input, is_hollow) in [
            ("", false),
            ("[]", false),
            ("[\n]\n,", false),
            ("{}", false),
            ("no list", false),
            ("\n", true),
            (" ", true),
            (",,", true),
            ("\r\n,\t\n", true),
        ] {
            let mut splitter = Splitter::default();
            splitter.room()[..input.len()].copy_from_slice(input.as_bytes());
            splitter.filled(input.len());
            while splitter.next().is_some() {}
            assert_eq!(splitter.is_hollow(), is_hollow, "{input:?}");
        }
    }

    /// `Ads::next` gives up once more than [`LARGEST`] is held; until then, and whatever is read
    /// outside of an object, little more than that is in memory.
    #[test]
    fn the_buffer_does_not_grow_with_the_input() {
        for line in [
            "  \"A\": 1,\n",
            "no list\n",
            "{\n  \"A\": 1\n}\n,\n",
            "[",
            "x",
        ] {
            let mut splitter = Splitter::default();
            let mut input = line.bytes().cycle();
            splitter.room()[..2].copy_from_slice(b"{\n");
            splitter.filled(if line.starts_with(' ') { 2 } else { 0 });
            for _ in 0..60 {
                if splitter.held() > LARGEST {
                    break;
                }
                let room = splitter.room();
                let read = room.len().min(CHUNK);
                room[..read].fill_with(|| input.next().unwrap_or_default());
                splitter.filled(read);
                while splitter.next().is_some() {}
            }
            assert_eq!(splitter.held() > LARGEST, line.starts_with(' '), "{line:?}");
            let most = LARGEST + 3 * CHUNK;
            assert!(
                splitter.buffer.len() <= most,
                "{line:?}: {}",
                splitter.buffer.len()
            );
        }
    }
}
