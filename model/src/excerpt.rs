//! Texts of others in messages of ours, cut where they get long.
//!
//! A pattern or a selector may have megabytes, and an error that repeats it would be a way to make the reader send and log them.
//! Nothing beyond the bound is ever built, and a character is never cut in two.

use std::fmt::{self, Display, Write};

/// Most bytes of what an error says, to a client and in the log.
pub const ERROR_BYTES_MAX: usize = 1024;
/// Most bytes of a text that is quoted in an error, so that what is said of it has a place beside it.
pub const QUOTED_BYTES_MAX: usize = 256;
/// What stands where something was cut off.
const MARK: &str = "...";

/// At most `most` bytes of what is shown, the mark of a cut included.
pub fn excerpt(shown: impl Display, most: usize) -> String {
    let mut begin = Beginning {
        text: String::new(),
        most,
    };
    if write!(begin, "{shown}").is_err() {
        let mut end = most.saturating_sub(MARK.len()).min(begin.text.len());
        while !begin.text.is_char_boundary(end) {
            end -= 1;
        }
        begin.text.truncate(end);
        begin.text.push_str(MARK);
    }
    begin.text
}

/// Takes text up to a bound, and refuses the rest, which ends the formatting.
struct Beginning {
    text: String,
    most: usize,
}

impl Write for Beginning {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.most - self.text.len();
        if more.len() <= room {
            self.text.push_str(more);
            return Ok(());
        }
        let mut end = room;
        while !more.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&more[..end]);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        for text in ["", "a", "ab\u{e9}", "12345678"] {
            assert_eq!(excerpt(text, 8), text);
        }
        assert_eq!(excerpt("123456789", 8), "12345...");
        // A character of four bytes does not fit before the mark.
        assert_eq!(excerpt("1234\u{1f525}\u{1f525}", 8), "1234...");
        assert_eq!(excerpt(format_args!("{:?}", "\u{0}".repeat(100)), 10), "\"\\0\\0\\0...");
    }

    #[test]
    fn nothing_is_built_beyond_the_bound() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("and so on ")?;
                }
            }
        }
        let text = excerpt(Endless, 1000);
        assert!(text.len() == 1000 && text.capacity() < 4000, "{}", text.capacity());
    }

    proptest! {
        #[test]
        fn an_excerpt_is_the_beginning(text in "\\PC{0,40}", most in 3_usize..60) {
            let cut = excerpt(&text, most);
            prop_assert!(cut.len() <= most);
            match cut.strip_suffix(MARK) {
                Some(begin) if text.len() > most => {
                    prop_assert!(text.starts_with(begin) && begin.len() + MARK.len() + 3 >= most);
                }
                _ => prop_assert_eq!(cut, text),
            }
        }
    }
}
