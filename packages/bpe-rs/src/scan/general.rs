//! The pretokens of any pattern, found by a regex engine.

use fancy_regex::{Regex, RegexBuilder};

use crate::error::PatternError;
use crate::scan::ends::Ends;

/// A compiled pattern, read as the fancy-regex crate reads it: `\p{L}` and its like follow the
/// Unicode version of that crate, which may be older than that of our tables.
#[derive(Clone, Debug)]
pub(crate) struct General(Regex);

impl General {
    /// # Errors
    ///
    /// [`PatternError::Invalid`] for a pattern that does not compile or can match no character.
    pub(crate) fn new(pattern: &str) -> Result<Self, PatternError> {
        let mut builder = RegexBuilder::new(pattern);
        // The next match that is not empty, as `regex.findall` without its empty strings.
        let built = builder.find_not_empty(true).build();
        let regex = built.map_err(|error| PatternError::invalid(pattern, &error))?;
        Ok(Self(regex))
    }

    /// Cuts `text` at both ends of each match. What stands between two matches is a pretoken too:
    /// nothing of a text is dropped.
    ///
    /// # Errors
    ///
    /// [`PatternError::Search`] where the engine gives up; the first error of `take`.
    pub(crate) fn ends<E: From<PatternError>>(
        &self,
        text: &str,
        take: &mut impl FnMut(usize, &[usize]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut pretokens, mut at) = (Ends::new(take), 0);
        for found in self.0.find_iter(text) {
            let found = found.map_err(|error| PatternError::search(text, at, &error))?;
            for end in [found.start(), found.end()] {
                // Not so where nothing stands between two matches, or `\K` moved a start.
                if end > at {
                    pretokens.push(end)?;
                    at = end;
                }
            }
        }
        if at < text.len() {
            pretokens.push(text.len())?;
        }
        pretokens.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pattern;
    use crate::scan::tests::check_table;

    #[test]
    fn what_matches_and_what_stands_between_are_pretokens() {
        let table: [(_, &[(_, &[_])]); 8] = [
            (
                r"\p{L}+",
                &[("ab1 c", &["ab", "1 ", "c"]), ("1", &["1"]), ("", &[])],
            ),
            (r"\s+", &[("a  b ", &["a", "  ", "b", " "])]),
            (r"a*", &[("baab", &["b", "aa", "b"]), ("bb", &["bb"])]),
            (r"|é|\s", &[("éé z", &["é", "é", " ", "z"])]),
            (r"a\Kb", &[("aabab", &["aa", "b", "a", "b"])]),
            (r"(?=ab)|b", &[("ab", &["a", "b"])]),
            (r"(?<=a)b++(?!c)", &[("abbabc", &["a", "bb", "abc"])]),
            (r"(?i:s)", &[("sSſ", &["s", "S", "ſ"])]),
        ];
        for (pattern, rows) in table {
            check_table(pattern, rows);
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_an_error() {
        let table = [
            (
                "a(b",
                "\"a(b\" cannot be used: Opening parenthesis without closing parenthesis (byte 3)",
            ),
            (
                r"(?=a)",
                "\"(?=a)\" cannot be used: it can match no character",
            ),
            ("", "\"\" cannot be used: it can match no character"),
            (r"\p{Nonsense}", "cannot be used"),
            ("(\n", r#""(\n" cannot be used"#),
        ];
        for (pattern, expected) in table {
            let error = Pattern::new(pattern).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let long = Pattern::new(&format!("({}", "ä".repeat(50))).unwrap_err();
        assert!(
            long.to_string()
                .contains(&format!("\"({}…\"", "ä".repeat(39)))
        );
    }

    #[test]
    fn a_search_that_is_given_up_is_an_error_that_says_where() {
        let pattern = Pattern::new(r"(a*)*\1b|\d").unwrap();
        let text = "12\n".to_owned() + &"a".repeat(30);
        let error = pattern
            .ends(&text, &mut |_, _| Ok::<(), PatternError>(()))
            .unwrap_err();
        let expected = "from byte 2 on, at \"\\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"";
        assert!(error.to_string().contains(expected), "{error}");
        assert!(matches!(error, PatternError::Search { offset: 2, .. }));
    }
}
