//! A place in a pattern, and the parts of the syntax that need nothing else.

/// The unread rest of a pattern.
pub(super) struct Cursor<'p> {
    pattern: &'p str,
    at: usize,
}

impl<'p> Cursor<'p> {
    pub(super) fn new(pattern: &'p str) -> Self {
        Self { pattern, at: 0 }
    }

    pub(super) fn pattern(&self) -> &'p str {
        self.pattern
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'p str {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Takes `prefix` if it is next.
    pub(super) fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    /// Takes the text before `end`, and `end` itself; nothing when `end` does not follow.
    pub(super) fn take_until(&mut self, end: &str) -> Option<&'p str> {
        let (text, _) = self.rest().split_once(end)?;
        self.at += text.len() + end.len();
        Some(text)
    }

    /// Takes everything.
    pub(super) fn take_rest(&mut self) -> &'p str {
        let rest = self.rest();
        self.at = self.pattern.len();
        rest
    }

    /// Takes `{min}`, `{min,}` or `{min,max}`, or nothing when the text has another form. Numbers beyond any limit
    /// are returned as the largest number.
    pub(super) fn bounds(&mut self) -> Option<(u32, Option<u32>)> {
        let (body, _) = self.rest().strip_prefix('{')?.split_once('}')?;
        let bounds = match body.split_once(',') {
            None => {
                let count = number(body)?;
                (count, Some(count))
            }
            Some((min, "")) => (number(min)?, None),
            Some((min, max)) => (number(min)?, Some(number(max)?)),
        };
        self.at += body.len() + 2;
        Some(bounds)
    }
}

/// A decimal number without leading zeros.
fn number(text: &str) -> Option<u32> {
    let well_formed =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    well_formed.then(|| text.parse().unwrap_or(u32::MAX))
}
