//! The values of attributes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// An attribute that should be a number. Reals are cut to whole numbers, beyond 64 bits to the
/// largest; `None` if it is missing, undefined, an expression, or of another type.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Number(pub Option<i64>);

/// An attribute that should be a string. `None` if it is missing, undefined, empty, an unevaluated
/// expression, or of another type.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Text(pub Option<String>);

/// What [`Number`] and [`Text`] are read as: any JSON value, of which lists and objects are skipped.
enum Value {
    Number(i64),
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(ValueVisitor)? {
            Value::Number(number) => Self(Some(number)),
            Value::Text(_) | Value::Other => Self(None),
        })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(ValueVisitor)? {
            Value::Text(text) if !(text.is_empty() || text.starts_with("/Expr(")) => {
                Self(Some(text))
            }
            Value::Text(_) | Value::Number(_) | Value::Other => Self(None),
        })
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "cutting to whole numbers and to the largest is what is wanted"
    )]
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number as i64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::list::tests::value;
    use super::*;

    proptest! {
        #[test]
        fn any_value_is_read_as_what_it_is_or_as_nothing(value in value()) {
            let text = value.to_string();
            let number: Number = serde_json::from_str(&text).unwrap();
            let string: Text = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(number.0, value.as_i64());
            prop_assert!(string.0.is_none() || string.0.as_deref() == value.as_str());
        }
    }

    #[test]
    fn numbers_and_texts() {
        let number = |text| serde_json::from_str::<Number>(text).unwrap().0;
        assert_eq!(number("12.75"), Some(12));
        assert_eq!(number("-0.5"), Some(0));
        assert_eq!(number("1E+300"), Some(i64::MAX));
        assert_eq!(number("18446744073709551615"), Some(i64::MAX));
        for none in ["null", "true", "\"5\"", "[5]", "{\"a\":5}"] {
            assert_eq!(number(none), None, "{none}");
        }
        let text = |text| serde_json::from_str::<Text>(text).unwrap().0;
        assert_eq!(text(r#""a\/b""#).as_deref(), Some("a/b"));
        for none in ["null", "5", "\"\"", r#""\/Expr(x)\/""#, "[\"a\"]"] {
            assert_eq!(text(none), None, "{none}");
        }
    }
}
