//! The words that may stay in a recording: those of the tools, and of what we ask them.

use std::collections::HashSet;

/// What the collectors look for, or ask with: these stay even where somebody is called so.
const NEEDED: &str = include_str!("needed.txt");
/// What else the tools say: these stay unless somebody is called so.
const USUAL: &str = include_str!("usual.txt");

/// The words, in small letters.
#[derive(Debug)]
pub struct Words {
    needed: HashSet<&'static [u8]>,
    usual: HashSet<&'static [u8]>,
}

impl Default for Words {
    fn default() -> Self {
        let words = |text: &'static str| text.split_whitespace().map(str::as_bytes).collect();
        Self {
            needed: words(NEEDED),
            usual: words(USUAL),
        }
    }
}

impl Words {
    /// Whether a collector depends on it.
    pub fn is_needed(&self, word: &[u8]) -> bool {
        self.needed.contains(&*word.to_ascii_lowercase())
    }

    /// Whether it may stay.
    pub fn is_known(&self, word: &[u8]) -> bool {
        let word = word.to_ascii_lowercase();
        self.needed.contains(&*word) || self.usual.contains(&*word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_small_and_once() {
        let all: Vec<&str> = NEEDED
            .split_whitespace()
            .chain(USUAL.split_whitespace())
            .collect();
        for word in &all {
            assert_eq!(*word, word.to_ascii_lowercase());
        }
        let words = Words::default();
        assert_eq!(
            words.needed.len() + words.usual.len(),
            all.len(),
            "one is there twice"
        );
        assert!(words.needed.is_disjoint(&words.usual));
    }
}
