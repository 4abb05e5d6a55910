//! Groups and the flags that are set between `(?` and `)` or `:`.

use super::{Flags, MAX_OPEN_GROUPS, Parser};
use crate::re2::Re2Error;
use crate::re2::node::{Kind, Node};

/// An open group, or the whole pattern.
#[derive(Debug)]
pub(super) struct Group {
    /// The flags to go back to when it closes.
    outer: Flags,
    captures: bool,
    pub(super) alternatives: Vec<Node>,
    pub(super) items: Vec<Node>,
}

impl Group {
    pub(super) fn new(outer: Flags, captures: bool) -> Self {
        Self {
            outer,
            captures,
            alternatives: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Adds an item. Literals are joined one item late, because an operator may still take the last one.
    pub(super) fn push(&mut self, node: Node) {
        self.join_literals();
        self.items.push(node);
    }

    fn join_literals(&mut self) {
        if let [.., left, _] = self.items.as_mut_slice()
            && matches!(left.kind(), Kind::Literal(_))
        {
            let Some(last) = self.items.pop() else { return };
            let Some(left) = self.items.last_mut() else { return };
            if let Err(last) = left.append_literal(last) {
                self.items.push(last);
            }
        }
    }

    /// Ends an alternative.
    pub(super) fn end_alternative(&mut self) {
        self.join_literals();
        self.alternatives.push(Node::concat(std::mem::take(&mut self.items)));
    }

    pub(super) fn close(mut self) -> Node {
        self.end_alternative();
        let node = Node::alternate(self.alternatives);
        if self.captures { node.captured() } else { node }
    }
}

impl Parser<'_> {
    /// Reads from `(` to where the inside of the group begins, or to behind `)` for flags alone.
    pub(super) fn open_group(&mut self) -> Result<(), Re2Error> {
        let start = self.cursor.at();
        self.cursor.bump();
        if !self.cursor.eat("?") {
            return self.open(start, true);
        }
        if self.cursor.eat("P<") || self.cursor.eat("<") {
            let name = self.cursor.take_until(">").unwrap_or_default();
            // Go accepts names that begin with a digit, and a name twice.
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(self.invalid("bad group name", start));
            }
            return self.open(start, true);
        }
        self.set_flags(start)
    }

    fn set_flags(&mut self, start: usize) -> Result<(), Re2Error> {
        let mut flags = self.flags;
        let mut on = true;
        // A `-` must be followed by a flag; `(?)` without any is fine.
        let mut complete = true;
        loop {
            match self.cursor.bump() {
                Some('i') => flags.fold_case = on,
                Some('m') => flags.multi_line = on,
                Some('s') => flags.dot_matches_newline = on,
                Some('U') => {}
                Some('-') if on => {
                    (on, complete) = (false, false);
                    continue;
                }
                Some(':') if complete => {
                    self.open(start, false)?;
                    self.flags = flags;
                    return Ok(());
                }
                Some(')') if complete => {
                    self.flags = flags;
                    return Ok(());
                }
                _ => return Err(self.invalid("unsupported syntax after `(?`", start)),
            }
            complete = true;
        }
    }

    fn open(&mut self, start: usize, captures: bool) -> Result<(), Re2Error> {
        if self.outer.len() >= MAX_OPEN_GROUPS {
            return Err(self.untranslatable("more than 1000 open groups", start));
        }
        let group = std::mem::replace(&mut self.inner, Group::new(self.flags, captures));
        self.outer.push(group);
        Ok(())
    }

    /// Reads `)`.
    pub(super) fn close_group(&mut self) -> Result<(), Re2Error> {
        let Some(outer) = self.outer.pop() else {
            return Err(self.invalid("unexpected `)`", self.cursor.at()));
        };
        self.cursor.bump();
        let group = std::mem::replace(&mut self.inner, outer);
        self.flags = group.outer;
        let node = group.close();
        self.check(&node)?;
        self.inner.push(node);
        Ok(())
    }
}
