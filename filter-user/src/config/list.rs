//! Lists of prefixes as text.

use ipnet::IpNet;

use super::units::parse_prefix;

/// Bytes of a line at most.
const LINE: usize = 1024;

/// What is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ListError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Takes a list in pieces.
#[derive(Debug)]
pub struct Parser {
    capacity: usize,
    line: u64,
    rest: Vec<u8>,
    prefixes: Vec<IpNet>,
}

impl Parser {
    /// For at most so many prefixes.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            line: 0,
            rest: Vec::new(),
            prefixes: Vec::new(),
        }
    }

    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ListError> {
        let mut pieces = piece.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.extend(piece)?;
            self.end_line()?;
        }
        self.extend(last)
    }

    /// The end.
    pub fn finish(mut self) -> Result<Vec<IpNet>, ListError> {
        self.end_line()?;
        Ok(self.prefixes)
    }

    fn extend(&mut self, piece: &[u8]) -> Result<(), ListError> {
        if self.rest.len().saturating_add(piece.len()) > LINE {
            return Err(self.error(format!("has more than {LINE} bytes")));
        }
        self.rest.extend_from_slice(piece);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), ListError> {
        let line = std::mem::take(&mut self.rest);
        let text = String::from_utf8_lossy(&line);
        let text = text.split(['#', ';']).next().unwrap_or_default().trim();
        if !text.is_empty() {
            let prefix = parse_prefix(text).map_err(|problem| self.error(problem))?;
            if self.prefixes.len() >= self.capacity {
                let capacity = self.capacity;
                return Err(self.error(format!("more than the {capacity} prefixes of the table")));
            }
            self.prefixes.push(prefix);
        }
        self.line = self.line.saturating_add(1);
        Ok(())
    }

    fn error(&self, problem: String) -> ListError {
        ListError {
            line: self.line.saturating_add(1),
            problem,
        }
    }
}
