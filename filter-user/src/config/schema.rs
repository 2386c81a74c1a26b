//! Walks a TOML document by tables of keys, and collects everything that is wrong with it.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{nearest::suggestion, text::quote};

/// One thing that is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what is allowed; names the key.
    pub message: String,
}

/// A value and the dotted path of its key.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    path: &'a str,
    value: &'a Spanned<DeValue<'a>>,
}

/// A key: its name, and what reads its value into a `T`.
pub struct Key<T> {
    /// The name.
    pub name: &'static str,
    /// Reads the value.
    pub read: fn(&mut Reader<'_>, &mut T, Node<'_>),
}

/// The text under examination and what was found wrong with it.
pub struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    /// A reader of a document with this text.
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
        }
    }

    /// Whether nothing is wrong so far.
    pub fn is_content(&self) -> bool {
        self.problems.is_empty()
    }

    /// What is wrong, by place.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems
            .sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    /// Notes a problem at a place of the text.
    pub fn complain(&mut self, span: &Range<usize>, message: String) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end.saturating_add(1));
        let line = before
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count()
            .saturating_add(1);
        let column = before
            .get(line_start..)
            .unwrap_or_default()
            .chars()
            .count()
            .saturating_add(1);
        self.problems.push(Problem {
            line,
            column,
            message,
        });
    }

    /// Notes a problem with a value.
    pub fn complain_of(&mut self, node: Node<'_>, message: &str) {
        self.complain(&node.value.span(), format!("`{}`: {message}", node.path));
    }

    /// Notes a problem with bytes of a string.
    pub fn complain_within(&mut self, node: Node<'_>, part: &Range<usize>, message: &str) {
        let span = node
            .within(self.text, part)
            .unwrap_or_else(|| node.value.span());
        self.complain(&span, format!("`{}`: {message}", node.path));
    }

    /// Reads a table by its keys. Unknown ones are noted with the nearest known.
    pub fn table<T>(&mut self, path: &str, table: &DeTable<'_>, keys: &[Key<T>], target: &mut T) {
        for (name, value) in table {
            match keys.iter().find(|key| key.name == name.get_ref().as_ref()) {
                Some(key) => {
                    let path = join(path, key.name);
                    (key.read)(self, target, Node { path: &path, value });
                }
                None => {
                    let known: Vec<_> = keys.iter().map(|key| key.name).collect();
                    self.unknown(path, name, &known);
                }
            }
        }
    }

    /// Notes an unknown key.
    pub fn unknown(&mut self, path: &str, name: &Spanned<DeString<'_>>, known: &[&str]) {
        let place = if path.is_empty() {
            String::new()
        } else {
            format!(" in [{path}]")
        };
        let message = format!(
            "unknown key {}{place}: {}",
            quote(name.get_ref()),
            suggestion(name.get_ref(), known)
        );
        self.complain(&name.span(), message);
    }

    /// Reads a value that is a table by its keys.
    pub fn section<T>(&mut self, node: Node<'_>, keys: &[Key<T>], target: &mut T) {
        match node.value.get_ref().as_table() {
            Some(table) => self.table(node.path, table, keys, target),
            None => self.complain_of(
                node,
                &format!(
                    "{} is not allowed: write a table [{}]",
                    node.shown(),
                    node.path
                ),
            ),
        }
    }

    /// Reads a value and stores it; notes what is wrong with it otherwise.
    pub fn value<V>(
        &mut self,
        node: Node<'_>,
        parse: impl FnOnce(Node<'_>) -> Result<V, String>,
        store: impl FnOnce(V),
    ) {
        match parse(node) {
            Ok(value) => store(value),
            Err(message) => self.complain_of(node, &message),
        }
    }

    /// Reads an array, each item on its own, and gives the good ones with their places.
    pub fn array<'a, V>(
        &mut self,
        node: Node<'a>,
        of: &str,
        mut parse: impl FnMut(&mut Self, Node<'_>) -> Result<V, String>,
    ) -> Vec<(V, Node<'a>)> {
        let Some(items) = node.value.get_ref().as_array() else {
            self.complain_of(
                node,
                &format!("{} is not allowed: write an array of {of}", node.shown()),
            );
            return Vec::new();
        };
        let mut good = Vec::new();
        for value in items.iter() {
            let item = Node {
                path: node.path,
                value,
            };
            match parse(self, item) {
                Ok(parsed) => good.push((parsed, item)),
                Err(message) => self.complain_of(item, &message),
            }
        }
        good
    }
}

impl<'a> Node<'a> {
    /// The table in it.
    pub fn as_table(self) -> Option<&'a DeTable<'a>> {
        self.value.get_ref().as_table()
    }

    /// A node inside, by its key.
    pub fn child<'p>(self, path: &'p str, value: &'p Spanned<DeValue<'p>>) -> Node<'p> {
        Node { path, value }
    }

    /// The dotted path of its key.
    pub fn path(self) -> &'a str {
        self.path
    }

    /// The value as it may stand in an error.
    pub fn shown(self) -> String {
        match self.value.get_ref() {
            DeValue::String(text) => quote(text),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// Whether it is an array of nothing.
    pub fn is_empty_array(self) -> bool {
        let items = self.value.get_ref().as_array();
        items.is_some_and(|items| items.is_empty())
    }

    /// Where bytes of a string stand in the document, if they stand there as they are.
    pub fn within(self, document: &str, part: &Range<usize>) -> Option<Range<usize>> {
        let text = self.value.get_ref().as_str()?;
        let whole = self.value.span();
        // Between quotation marks, without escapes.
        let start = whole.start.checked_add(1)?;
        let there = document.get(start..start.checked_add(text.len())?)?;
        (there == text && whole.len() == text.len().checked_add(2)?)
            .then(|| start.saturating_add(part.start)..start.saturating_add(part.end))
    }

    /// A string; `example` says how one is written.
    pub fn text(self, example: &str) -> Result<&'a str, String> {
        self.value.get_ref().as_str().ok_or_else(|| {
            format!(
                "{} is not allowed: write a string, as {example}",
                self.shown()
            )
        })
    }

    /// `true` or `false`.
    pub fn truth(self) -> Result<bool, String> {
        self.value
            .get_ref()
            .as_bool()
            .ok_or_else(|| format!("{} is not allowed: write true or false", self.shown()))
    }

    /// A whole number within bounds.
    pub fn number(self, least: u32, most: u32) -> Result<u32, String> {
        self.value
            .get_ref()
            .as_integer()
            .and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok())
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                format!(
                    "{} is not allowed: write a number from {least} to {most}",
                    self.shown()
                )
            })
    }

    /// One of several words.
    pub fn choice<V: Copy>(self, choices: &[(&str, V)]) -> Result<V, String> {
        let allowed = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(", ");
        self.value
            .get_ref()
            .as_str()
            .and_then(|text| choices.iter().find(|(word, _)| *word == text))
            .map(|(_, choice)| *choice)
            .ok_or_else(|| format!("{} is not allowed: write one of {allowed}", self.shown()))
    }
}

/// The dotted path of a key in a table.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
