//! What was asked: the parameters of a request, checked against the question's table.

use std::collections::HashMap;

use axum::extract::Query;
use axum::http::Uri;
use rusqlite::{Connection, OptionalExtension as _};

use super::Question;
use super::refused::Refused;
use super::span::{self, LONGEST_MS, Span, Step};
use crate::documents::Metric;
use crate::documents::metric::NOBODY;

/// A parameter of a question.
pub struct Param {
    pub name: &'static str,
    pub form: Form,
    pub about: &'static str,
}

/// What a parameter may be.
pub enum Form {
    Text,
    /// A text that must be given.
    Name,
    /// See [`span::EXPECTED`]; the default in the same form.
    Time(&'static str),
    /// One of these words; the first is the default.
    OneOf(&'static [&'static str]),
    /// One of these words; what is meant without one, the text says.
    Words(&'static [&'static str]),
    /// One of these words, and there is no default.
    Needed(&'static [&'static str]),
    /// A number from 1 to `most`. 0: no default.
    Number {
        default: i64,
        most: i64,
    },
}

const fn param(name: &'static str, form: Form, about: &'static str) -> Param {
    Param { name, form, about }
}

pub const FACILITY: Param = param(
    "facility",
    Form::Text,
    "Only this facility; otherwise all that the viewer may see.",
);
pub const FROM: Param = param("from", Form::Time("-24h"), "The beginning of the span.");
pub const TO: Param = param(
    "to",
    Form::Time("now"),
    "The end of the span, which is not in it.",
);
pub const STEP: Param = param(
    "step",
    Form::Words(Step::WORDS),
    "How fine; otherwise 5m up to two days, 1h up to 62 days, 1d beyond. Steps begin at full hours and days, UTC; the first and the last hold only what is in the span.",
);
pub const FORMAT: Param = param(
    "format",
    Form::Words(&["json", "csv"]),
    "The form of the answer; otherwise CSV where the `Accept` header names text/csv first, else JSON.",
);

/// A parameter that takes any text.
pub const fn param_text(name: &'static str, about: &'static str) -> Param {
    param(name, Form::Text, about)
}

/// A limit with this default.
pub const fn limit(default: i64, most: i64, about: &'static str) -> Param {
    param("limit", Form::Number { default, most }, about)
}

/// A facility that may be seen.
#[derive(Debug, Clone)]
pub struct Facility {
    pub id: i64,
    pub name: String,
}

/// A request's parameters, each of its form.
#[derive(Debug)]
pub struct Asked {
    /// Milliseconds since 1970.
    pub now: i64,
    /// As it was asked.
    pub exact: Span,
    /// In full five minutes.
    pub span: Span,
    pub step: Step,
    /// The only facility that the viewer may see.
    bound: Option<String>,
    values: HashMap<&'static str, String>,
    numbers: HashMap<&'static str, i64>,
}

impl Asked {
    /// # Errors
    /// 400: which parameter is wrong, and what was expected.
    pub fn read(
        question: &Question,
        uri: &Uri,
        bound: Option<String>,
        now: i64,
    ) -> Result<Self, Refused> {
        let values = values(question, uri)?;
        let mut numbers = HashMap::new();
        let mut times = HashMap::new();
        for param in question.params {
            let given = values.get(param.name).map(String::as_str);
            match param.form {
                Form::Text => {}
                Form::Name if given.is_some() => {}
                Form::Name => return Err(Refused::value(param.name, "", "a name")),
                Form::OneOf(words) | Form::Words(words) => {
                    one_of(param.name, given.unwrap_or(words[0]), words)?;
                }
                Form::Needed(words) => one_of(param.name, given.unwrap_or(""), words)?,
                Form::Time(default) => {
                    let text = given.unwrap_or(default);
                    let time = span::parse(text, now)
                        .ok_or_else(|| Refused::value(param.name, text, span::EXPECTED))?;
                    times.insert(param.name, time);
                }
                Form::Number { default, most } => {
                    let number = match given {
                        None => default,
                        Some(text) => number(text, most).ok_or_else(|| {
                            let expected = format!("a number from 1 to {most}");
                            Refused::value(param.name, text, &expected)
                        })?,
                    };
                    numbers.insert(param.name, number);
                }
            }
        }
        let to = times.get("to").copied().unwrap_or(now);
        let from = times.get("from").copied().unwrap_or(to - 1);
        let exact = span_of(from, to)?;
        let span = exact.widened();
        let step = values
            .get("step")
            .and_then(|word| Step::of(word))
            .unwrap_or_else(|| Step::fit(span));
        if question.has("step") && step.is_too_fine(span) {
            return Err(Refused::value(
                "step",
                step.word(),
                "at most 10,000 steps: a longer step or a shorter span",
            ));
        }
        Ok(Self {
            now,
            exact,
            span,
            step,
            bound,
            values,
            numbers,
        })
    }

    /// The value of a parameter, where it is given.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A text that must be given, and so is.
    pub fn name(&self, name: &str) -> &str {
        self.word(name).unwrap_or_default()
    }

    /// A number, given or by default; 0 where there is neither.
    pub fn number(&self, name: &str) -> i64 {
        self.numbers.get(name).copied().unwrap_or(0)
    }

    /// The same as a size.
    pub fn limit(&self) -> usize {
        usize::try_from(self.number("limit")).unwrap_or(usize::MAX)
    }

    /// The facilities that are asked about and may be seen.
    ///
    /// # Errors
    /// 403 for another than the viewer's, 404 for one that nothing was heard of.
    pub fn facilities(&self, store: &Connection) -> Result<Vec<Facility>, Refused> {
        let asked = self.word("facility");
        if let (Some(bound), Some(asked)) = (&self.bound, asked)
            && bound != asked
        {
            return Err(Refused::Forbidden);
        }
        let Some(name) = asked.or(self.bound.as_deref()) else {
            let mut all = store.prepare_cached("SELECT id, name FROM facilities ORDER BY name")?;
            let all = all.query_map([], |row| {
                Ok(Facility {
                    id: row.get(0)?,
                    name: row.get(1)?,
                })
            })?;
            return Ok(all.collect::<rusqlite::Result<_>>()?);
        };
        let id = store
            .prepare_cached("SELECT id FROM facilities WHERE name = ?")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        match id {
            Some(id) => Ok(vec![Facility {
                id,
                name: name.to_owned(),
            }]),
            // A viewer's own, of which nothing came yet.
            None if self.bound.is_some() => Ok(Vec::new()),
            None => Err(Refused::unknown("facility", name)),
        }
    }
}

impl Asked {
    /// The same for a metric: of what was refused, also what is of nobody ([`NOBODY`]), where all facilities are
    /// asked about and may be seen.
    ///
    /// # Errors
    /// As above.
    pub fn facilities_of(
        &self,
        store: &Connection,
        metric: Metric,
    ) -> Result<Vec<Facility>, Refused> {
        let mut all = self.facilities(store)?;
        let is_of_all = self.bound.is_none() && self.word("facility").is_none();
        if metric == Metric::Refused && is_of_all {
            all.push(Facility {
                id: NOBODY,
                name: String::new(),
            });
        }
        Ok(all)
    }
}

impl Question {
    /// Whether it has a parameter of this name.
    pub fn has(&self, param: &str) -> bool {
        self.params.iter().any(|known| known.name == param)
    }

    /// The words of a parameter that nobody has to choose.
    pub fn words(&self, param: &str) -> Option<&'static [&'static str]> {
        let param = self.params.iter().find(|known| known.name == param)?;
        match param.form {
            Form::Words(words) => Some(words),
            _ => None,
        }
    }
}

fn values(question: &Question, uri: &Uri) -> Result<HashMap<&'static str, String>, Refused> {
    let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
        Refused::Parameter("the query cannot be read: expected name=value&…".into())
    })?;
    let mut values = HashMap::new();
    for (name, value) in given {
        let Some(param) = question.params.iter().find(|param| param.name == name) else {
            let known: Vec<&str> = question.params.iter().map(|param| param.name).collect();
            return Err(Refused::Parameter(format!(
                "unknown parameter `{}`: expected one of {}",
                crate::documents::quoted(&name),
                known.join(", ")
            )));
        };
        if values.insert(param.name, value).is_some() {
            return Err(Refused::Parameter(format!(
                "parameter `{name}` is given twice"
            )));
        }
    }
    Ok(values)
}

fn one_of(name: &str, word: &str, words: &[&str]) -> Result<(), Refused> {
    match words.contains(&word) {
        true => Ok(()),
        false => Err(Refused::value(
            name,
            word,
            &format!("one of {}", words.join(", ")),
        )),
    }
}

fn number(text: &str, most: i64) -> Option<i64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok())??;
    (1..=most).contains(&number).then_some(number)
}

fn span_of(from: i64, to: i64) -> Result<Span, Refused> {
    let wrong = |why: &str| {
        Err(Refused::Parameter(format!(
            "parameters `from` and `to`: {why}"
        )))
    };
    match to - from {
        length if length <= 0 => wrong("expected `from` before `to`"),
        length if length > LONGEST_MS => wrong("expected at most 11 years"),
        _ => Ok(Span { from, to }),
    }
}
