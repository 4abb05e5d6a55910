//! Placeholder until the translator is here.

/// A pattern.
#[derive(Debug)]
pub struct Re2(regex::Regex);

/// A refused pattern.
#[derive(Debug, thiserror::Error)]
pub enum Re2Error {
    /// Refused.
    #[error("{0}")]
    Invalid(String),
}

impl Re2 {
    /// Compiles.
    pub fn new(pattern: &str) -> Result<Self, Re2Error> {
        regex::Regex::new(&format!("^(?s:{pattern})$")).map(Self).map_err(|e| Re2Error::Invalid(e.to_string()))
    }

    /// Matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}
