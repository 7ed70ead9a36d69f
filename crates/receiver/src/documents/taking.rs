//! A body, element by element: whose token, which facility and kind, when; and its line.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use afmetrics_document::kinds;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer as _};

use super::facts::{self, Facts};
use super::fields::{self, Fields};
use super::shape;
use super::{Answer, Document, Documents, Fault, LONGEST, Names, quoted, time};
use crate::tokens::Pass;

/// How old a document may be: 31 days, as long as keys of batches are kept.
pub const OLDEST_MS: i64 = 31 * time::DAY_MS;
/// How far a sender's clock may be ahead.
pub const AHEAD_MS: i64 = 5 * 60_000;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One object, or an array of objects.
    Json,
    /// An object a line.
    Lines,
}

/// What is asked of a document, besides its shape.
pub struct Taking<'g> {
    /// When it came, in milliseconds since 1970.
    pub now: i64,
    pub accept_unknown_kinds: bool,
    /// Who may send what; `None`: who reads a file into his own store may send everything, of any time
    /// up to now.
    pub gate: Option<Gate<'g>>,
}

/// Who may send what.
pub struct Gate<'g> {
    /// What a token allows, or why nothing.
    pub pass: &'g dyn Fn(&str) -> Result<Pass, &'static str>,
    /// What the request's header allows, for documents without a token of their own.
    pub bearer: Option<Pass>,
}

impl Taking<'_> {
    /// Takes a body, whole or not at all. Adds to `passes` which tokens were used, for how many
    /// documents each.
    ///
    /// # Errors
    /// The first [`Fault`] in the order of the elements.
    pub fn documents(
        &self,
        body: &str,
        form: Form,
        passes: &mut Vec<(Pass, usize)>,
    ) -> Result<Documents, Fault> {
        let mut run = Run {
            taking: self,
            stamp: time::text(self.now),
            documents: Documents::default(),
            last: None,
            given: None,
            passes,
            fault: None,
        };
        run.documents.lines.reserve(body.len() + body.len() / 4);
        match form {
            Form::Lines => run.lines(body)?,
            Form::Json if body.trim_ascii_start().starts_with('[') => run.array(body)?,
            Form::Json => run.object(body)?,
        }
        if run.documents.list.is_empty() {
            return Err(malformed(
                "there is no document in the body (expected a JSON object, or some of them)",
            ));
        }
        Ok(run.documents)
    }
}

struct Run<'t, 'g> {
    taking: &'t Taking<'g>,
    /// Now, as text.
    stamp: String,
    documents: Documents,
    /// The last token and what it allows: the next document most likely has it, too.
    last: Option<(String, Pass)>,
    /// The last time that a document gave: the next one most likely gives the same.
    given: Option<GivenTime>,
    passes: &'t mut Vec<(Pass, usize)>,
    /// Why the last element was not taken, as serde's error cannot hold it.
    fault: Option<Fault>,
}

struct GivenTime {
    raw: String,
    time: i64,
    /// As it is stored.
    stamp: String,
}

impl Run<'_, '_> {
    fn object(&mut self, body: &str) -> Result<(), Fault> {
        if body.trim_ascii().is_empty() {
            return Err(malformed(
                "the body is empty (expected a JSON object, or an array of them)",
            ));
        }
        let fields = serde_json::from_str(body).map_err(|why| malformed(why.to_string()))?;
        self.element(&fields)
    }

    fn lines(&mut self, body: &str) -> Result<(), Fault> {
        for line in body.lines().filter(|line| !line.trim_ascii().is_empty()) {
            let element = self.documents.list.len();
            serde_json::from_str(line)
                .map_err(|why| malformed(shape::without_place(&why)))
                .and_then(|fields| self.element(&fields))
                .map_err(|fault| Fault {
                    element: Some(element),
                    ..fault
                })?;
        }
        Ok(())
    }

    fn array(&mut self, body: &str) -> Result<(), Fault> {
        let mut reader = serde_json::Deserializer::from_str(body);
        reader
            .deserialize_seq(Elements(self))
            .map_err(|why| Fault {
                element: Some(self.documents.list.len()),
                ..self
                    .fault
                    .take()
                    .unwrap_or_else(|| malformed(why.to_string()))
            })?;
        reader
            .end()
            .map_err(|why| malformed(format!("behind the array: {why}")))
    }

    /// Takes one document.
    fn element(&mut self, fields: &Fields<'_>) -> Result<(), Fault> {
        let pass = self.admit(fields)?;
        let facility = text_of(fields, "cluster")?;
        if let Some(pass) = pass
            && *pass.facility != *facility
        {
            return Err(Fault {
                answer: Answer::Forbidden,
                element: None,
                why: format!(
                    "field `cluster`: this token is not for facility {}",
                    quoted(&facility)
                ),
            });
        }
        let kind = text_of(fields, "kind")?;
        self.look_at_time(fields)?;
        let is_given = fields.raw("timestamp").is_some_and(|raw| raw != "null");
        let given = self.given.as_ref().filter(|_| is_given);
        let time = given.map_or(self.taking.now, |given| given.time);
        self.possible(time)?;
        let counted = fields.count() - usize::from(fields.raw("timestamp").is_some());
        // As it is stored it always has a time.
        if counted > fields::MOST {
            return Err(malformed(format!("more than {} fields", fields::MOST)));
        }
        let line = self.line(fields, is_given)?;
        let facts = self.facts(&kind, fields)?;
        let names = &mut self.documents.names;
        let (facility, kind) = (names.of(&facility), names.of(&kind));
        self.documents.list.push(Document {
            facility,
            kind,
            line,
            time,
            facts,
        });
        Ok(())
    }

    /// Writes the line that is stored; where it is. Values are looked into only when it is short enough:
    /// they take many times the memory.
    fn line(&mut self, fields: &Fields<'_>, is_given: bool) -> Result<Range<usize>, Fault> {
        let start = self.documents.lines.len();
        let given = self.given.as_ref().filter(|_| is_given);
        let stamp = given.map_or(&self.stamp, |given| &given.stamp);
        write_line(&mut self.documents.lines, stamp, fields);
        let line = start..self.documents.lines.len();
        if line.len() > LONGEST {
            return Err(Fault {
                answer: Answer::TooLarge,
                element: None,
                why: format!(
                    "the document has {} bytes; at most {LONGEST} are taken",
                    line.len()
                ),
            });
        }
        Ok(line)
    }

    /// Reads the time that the document gives, if any, unless it is the last one's.
    fn look_at_time(&mut self, fields: &Fields<'_>) -> Result<(), Fault> {
        let raw = fields.raw("timestamp").unwrap_or_default();
        let is_known = self.given.as_ref().is_some_and(|given| given.raw == raw);
        if !is_known && let Some(time) = given_time(fields)? {
            self.given = Some(GivenTime {
                raw: raw.to_owned(),
                time,
                stamp: time::text(time),
            });
        }
        Ok(())
    }

    /// What the document's token allows, or else the request's; nothing where there is no gate.
    fn admit(&mut self, fields: &Fields<'_>) -> Result<Option<Pass>, Fault> {
        let Some(gate) = &self.taking.gate else {
            return Ok(None);
        };
        let refused = |why: &str| Fault {
            answer: Answer::Unauthorized,
            element: None,
            why: why.to_owned(),
        };
        let token = match fields.raw("token").filter(|raw| *raw != "null") {
            None => {
                return match &gate.bearer {
                    Some(pass) => {
                        note(self.passes, pass);
                        Ok(Some(pass.clone()))
                    }
                    None => Err(refused(
                        "no token: neither a field `token` nor an Authorization header",
                    )),
                };
            }
            Some(raw) => {
                shape::string(raw).ok_or_else(|| malformed("field `token`: expected a string"))?
            }
        };
        if let Some((last, pass)) = &self.last
            && *last == *token
        {
            note(self.passes, pass);
            return Ok(Some(pass.clone()));
        }
        let pass = (gate.pass)(&token).map_err(|why| refused(&format!("field `token`: {why}")))?;
        note(self.passes, &pass);
        self.last = Some((token.into_owned(), pass.clone()));
        Ok(Some(pass))
    }

    fn possible(&self, time: i64) -> Result<(), Fault> {
        let (now, is_gated) = (self.taking.now, self.taking.gate.is_some());
        let why = if time > now + AHEAD_MS {
            "more than 5 minutes ahead"
        } else if is_gated && time < now - OLDEST_MS {
            "more than 31 days ago"
        } else if !is_gated && time < 0 {
            "before 1970"
        } else {
            return Ok(());
        };
        Err(Fault {
            answer: Answer::Unprocessable,
            element: None,
            why: format!("field `timestamp`: {} is {why}", time::text(time)),
        })
    }

    fn facts(&mut self, kind: &str, fields: &Fields<'_>) -> Result<Facts, Fault> {
        let Some(kind) = kinds::find(kind) else {
            if self.taking.accept_unknown_kinds {
                return shape::anything(fields)
                    .map(|()| Facts::Nothing)
                    .map_err(malformed);
            }
            return Err(Fault {
                answer: Answer::Unprocessable,
                element: None,
                why: format!("field `kind`: unknown kind {}", quoted(kind)),
            });
        };
        let values = shape::values(kind, fields).map_err(malformed)?;
        Ok(facts::facts(
            kind,
            fields,
            &values,
            &mut self.documents.names,
        ))
    }
}

fn note(passes: &mut Vec<(Pass, usize)>, pass: &Pass) {
    match passes
        .iter_mut()
        .find(|(known, _)| known.token == pass.token)
    {
        Some((_, documents)) => *documents += 1,
        None => passes.push((pass.clone(), 1)),
    }
}

fn malformed(why: impl Into<String>) -> Fault {
    Fault {
        answer: Answer::Malformed,
        element: None,
        why: why.into(),
    }
}

fn text_of<'a>(fields: &Fields<'a>, name: &str) -> Result<Cow<'a, str>, Fault> {
    let raw = fields
        .raw(name)
        .ok_or_else(|| malformed(format!("field `{name}` is missing (expected a string)")))?;
    shape::string(raw).ok_or_else(|| {
        malformed(format!(
            "field `{name}`: expected a string, found {}",
            shape::shown(raw)
        ))
    })
}

/// The time that the document itself says.
fn given_time(fields: &Fields<'_>) -> Result<Option<i64>, Fault> {
    let Some(raw) = fields.raw("timestamp").filter(|raw| *raw != "null") else {
        return Ok(None);
    };
    shape::string(raw)
        .and_then(|text| time::parse(&text))
        .map(Some)
        .ok_or_else(|| {
            malformed(format!(
                "field `timestamp`: expected a time such as 2026-11-23T04:05:06.789Z, found {}",
                shape::shown(raw)
            ))
        })
}

/// The document as it is stored: its time first, as one request's documents share it and a block is
/// packed the better for that; and never the token.
fn write_line(lines: &mut String, stamp: &str, fields: &Fields<'_>) {
    lines.push_str("{\"timestamp\":\"");
    lines.push_str(stamp);
    lines.push('"');
    for (name, raw) in fields.iter() {
        if name == "token" || name == "timestamp" {
            continue;
        }
        lines.push(',');
        write_name(lines, name);
        lines.push(':');
        write_compact(lines, raw);
    }
    lines.push_str("}\n");
}

fn write_name(lines: &mut String, name: &str) {
    let is_plain = !name
        .bytes()
        .any(|byte| byte < b' ' || byte == b'"' || byte == b'\\');
    if is_plain {
        lines.push('"');
        lines.push_str(name);
        lines.push('"');
    } else {
        lines.push_str(&serde_json::Value::from(name).to_string());
    }
}

/// Sound JSON, without the blanks and newlines between its parts.
fn write_compact(lines: &mut String, raw: &str) {
    if !raw.starts_with(['[', '{']) {
        lines.push_str(raw);
        return;
    }
    let (mut is_text, mut is_escaped, mut kept) = (false, false, 0);
    for (at, byte) in raw.bytes().enumerate() {
        if is_text {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => is_text = false,
                _ => {}
            }
        } else if byte == b'"' {
            is_text = true;
        } else if byte.is_ascii_whitespace() {
            lines.push_str(&raw[kept..at]);
            kept = at + 1;
        }
    }
    lines.push_str(&raw[kept..]);
}

/// Calls [`Run::element`] for each element as it is read, so that no list of them is made.
struct Elements<'r, 't, 'g>(&'r mut Run<'t, 'g>);

impl<'de> Visitor<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(fields) = seq.next_element::<Fields>()? {
            self.0.element(&fields).map_err(|fault| {
                self.0.fault = Some(fault);
                A::Error::custom("not taken")
            })?;
        }
        Ok(())
    }
}

/// A stored line, read again: its facility, kind, time and facts.
///
/// # Errors
/// What is wrong with it; it was right when it was stored.
pub fn read_again(line: &str, names: &mut Names) -> Result<(String, i64, Facts), String> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let fields = Fields::deserialize(&mut reader).map_err(|why| why.to_string())?;
    let why = |fault: Fault| fault.why;
    let kind = text_of(&fields, "kind").map_err(why)?;
    let time = given_time(&fields)
        .map_err(why)?
        .ok_or("no field `timestamp`")?;
    let facts = match kinds::find(&kind) {
        Some(kind) => facts::facts(kind, &fields, &shape::values(kind, &fields)?, names),
        None => Facts::Nothing,
    };
    Ok((kind.into_owned(), time, facts))
}
