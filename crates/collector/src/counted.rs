//! Counts in sentences: one of something, or several.

/// `1 document`, `2 documents`, `0 batches`.
pub fn counted(count: u64, what: &str) -> String {
    let ending = match what.ends_with("ch") {
        true => "es",
        false => "s",
    };
    format!("{count} {what}{}", of(count, "", ending))
}

/// The word for one, or that for another number.
pub fn of<'a>(count: u64, one: &'a str, several: &'a str) -> &'a str {
    match count {
        1 => one,
        _ => several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        for (count, what, said) in [
            (0, "document", "0 documents"),
            (1, "document", "1 document"),
            (2, "batch", "2 batches"),
            (1, "batch", "1 batch"),
        ] {
            assert_eq!(counted(count, what), said);
        }
        assert_eq!(
            [of(1, "waits", "wait"), of(0, "waits", "wait")],
            ["waits", "wait"]
        );
    }
}
