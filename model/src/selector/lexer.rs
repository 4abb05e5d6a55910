//! Words of a selector: identifiers, quoted texts with PromQL's escapes, operators.
//!
//! Here, apart from the grammar, because escapes are the part that is easy to get wrong. It must never let a text through
//! that is not UTF-8, although PromQL's `\x` escapes can write one: no stored label could ever equal it.

use std::fmt;

use crate::MatchOp;

/// One word.
#[derive(Debug, PartialEq)]
pub(super) enum Token {
    Identifier(String),
    Text(String),
    Operator(MatchOp),
    OpenBrace,
    CloseBrace,
    Comma,
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identifier(name) => write!(f, "`{name}`"),
            Self::Text(text) => write!(f, "text {text:?}"),
            Self::Operator(_) => f.write_str("an operator"),
            Self::OpenBrace => f.write_str("`{`"),
            Self::CloseBrace => f.write_str("`}`"),
            Self::Comma => f.write_str("`,`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Cuts a selector into words.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Byte offset of what comes next, always at a character boundary.
    at: usize,
    /// Byte offset of the word read last, for messages.
    word: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, word: 0 }
    }

    /// Where the word read last began, in characters from 1.
    pub(super) fn column(&self) -> usize {
        self.text[..self.word].chars().count() + 1
    }

    /// Before `{` and after `}`: metric names may hold colons.
    pub(super) fn token_outside_braces(&mut self) -> Result<Token, String> {
        self.skip_space();
        match self.peek() {
            None => Ok(Token::End),
            Some('{') => Ok(self.single(Token::OpenBrace)),
            Some(c) if is_name_start(c) || c == ':' => Ok(self.identifier(|c| is_name_part(c) || c == ':')),
            Some(c) => Err(format!("unexpected character `{c}`")),
        }
    }

    /// Between the braces.
    pub(super) fn token_inside_braces(&mut self) -> Result<Token, String> {
        self.skip_space();
        match self.peek() {
            None => Err("the closing `}` is missing".to_owned()),
            Some('}') => Ok(self.single(Token::CloseBrace)),
            Some(',') => Ok(self.single(Token::Comma)),
            Some('=') => {
                self.at += 1;
                Ok(Token::Operator(if self.take('~') {
                    MatchOp::Regex
                } else {
                    MatchOp::Equal
                }))
            }
            Some('!') => {
                self.at += 1;
                match self.peek() {
                    Some('=') => Ok(self.single(Token::Operator(MatchOp::NotEqual))),
                    Some('~') => Ok(self.single(Token::Operator(MatchOp::NotRegex))),
                    _ => Err("`!` must be followed by `=` or `~`".to_owned()),
                }
            }
            Some(quote @ ('"' | '\'' | '`')) => self.quoted(quote),
            Some(c) if is_name_start(c) => Ok(self.identifier(is_name_part)),
            Some(c) => Err(format!("unexpected character `{c}`")),
        }
    }

    fn skip_space(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\n' | '\r') => self.at += 1,
                Some('#') => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                _ => break,
            }
        }
        self.word = self.at;
    }

    fn quoted(&mut self, quote: char) -> Result<Token, String> {
        self.at += 1;
        let start = self.at;
        if quote == '`' {
            let length = self.text[start..].find('`').ok_or("the closing quote is missing")?;
            self.at = start + length + 1;
            return Ok(Token::Text(self.text[start..start + length].to_owned()));
        }
        let mut bytes = Vec::new();
        loop {
            match self.next_char() {
                None | Some('\n') => return Err("the closing quote is missing".to_owned()),
                Some('\\') => self.escape(quote, &mut bytes)?,
                Some(c) if c == quote => break,
                Some(c) => push(c, &mut bytes),
            }
        }
        String::from_utf8(bytes)
            .map(Token::Text)
            .map_err(|_| "the text is not UTF-8".to_owned())
    }

    /// What follows a backslash. Octal and `\x` name one byte, `\u` and `\U` one character.
    fn escape(&mut self, quote: char, bytes: &mut Vec<u8>) -> Result<(), String> {
        let c = self.next_char().ok_or("the closing quote is missing")?;
        let plain = match c {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' => b'\\',
            '\'' if quote == '\'' => b'\'',
            '"' if quote == '"' => b'"',
            'x' => {
                let code = self.digits(2, 16)?;
                return push_byte(code, bytes);
            }
            '0'..='7' => {
                self.at -= 1;
                let code = self.digits(3, 8)?;
                return push_byte(code, bytes);
            }
            'u' | 'U' => {
                let code = self.digits(if c == 'u' { 4 } else { 8 }, 16)?;
                let c = char::from_u32(code).ok_or("the escape names no character")?;
                push(c, bytes);
                return Ok(());
            }
            other => return Err(format!("unknown escape `\\{other}`")),
        };
        bytes.push(plain);
        Ok(())
    }

    fn digits(&mut self, count: usize, radix: u32) -> Result<u32, String> {
        let mut code = 0u32;
        for _ in 0..count {
            let digit = self
                .next_char()
                .and_then(|c| c.to_digit(radix))
                .ok_or("the escape has too few digits")?;
            code = code.wrapping_mul(radix).wrapping_add(digit);
        }
        Ok(code)
    }

    fn identifier(&mut self, part: impl Fn(char) -> bool) -> Token {
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += length;
        Token::Identifier(rest[..length].to_owned())
    }

    fn single(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn push(c: char, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_byte(code: u32, bytes: &mut Vec<u8>) -> Result<(), String> {
    bytes.push(u8::try_from(code).map_err(|_| "the escape names no byte")?);
    Ok(())
}
