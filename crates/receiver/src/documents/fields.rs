//! A JSON object as its fields, each value still as it was written. Nothing is copied but names with
//! escapes in them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// More fields than this in one document is a mistake or an attack.
pub const MOST: usize = 256;
/// As stored, it may have a timestamp besides.
const MOST_STORED: usize = MOST + 1;

/// The fields of one object, in their order, each name once.
#[derive(Debug)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// A field's value as it was written.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(given, _)| *given == name)
            .map(|(_, raw)| raw)
    }

    /// All of them: the name (decoded) and the value as it was written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, raw)| (name.as_ref(), raw.get()))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not as a map: then a string would be repeated in the error's text.
        deserializer.deserialize_any(Each)
    }
}

struct Each;

impl<'de> Visitor<'de> for Each {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    // It may be long, or a token.
    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom("expected an object, found a string"))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("expected an object, found an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(8);
        while let Some(Text(name)) = map.next_key()? {
            // JSON's readers do not agree about which of two counts, so neither does.
            if fields.iter().any(|(given, _)| *given == name) {
                return Err(A::Error::custom(format_args!(
                    "field `{}` is given twice",
                    super::quoted(&name)
                )));
            }
            if fields.len() == MOST_STORED {
                return Err(A::Error::custom(format_args!("more than {MOST} fields")));
            }
            fields.push((name, map.next_value()?));
        }
        Ok(Fields(fields))
    }
}

/// A string that is borrowed where it has no escapes.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Str;
        impl<'de> Visitor<'de> for Str {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_written() {
        let fields: Fields = serde_json::from_str(r#"{"a": 1.50, "b\n": [1, {"c" : 2}]}"#).unwrap();
        let all: Vec<_> = fields.iter().collect();
        assert_eq!(all, [("a", "1.50"), ("b\n", r#"[1, {"c" : 2}]"#)]);
    }

    #[test]
    fn a_field_twice_is_an_error_that_names_it() {
        let twice = serde_json::from_str::<Fields>(r#"{"kind":"ssh","ki\u006ed":"CPU"}"#);
        assert!(
            twice
                .unwrap_err()
                .to_string()
                .starts_with("field `kind` is given twice")
        );
    }
}
