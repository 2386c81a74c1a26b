//! Reads a rule's text.
//!
//! ```text
//! rule    = [ "shadow" ] action ( "any" | clause… )
//! action  = "drop" | "pass" | "limit" RATE [ "burst" N ] [ "per" "source" ]
//! clause  = "ip" | "ip6" | "tcp" | "udp" | "icmp" | "icmp6" | "proto" N
//!         | "from" PREFIX | "to" PREFIX | "sport" range | "dport" range
//!         | "flags" FLAGS [ "/" FLAGS ] | "length" range | "ttl" range
//!         | "fragment" ( "whole" | "first" | "later" | "any" )
//!         | "payload" HEX [ "/" HEX ] "at" N
//! range   = N | N "-" N | ( "<" | ">" | "<=" | ">=" ) N
//! ```
//!
//! Clauses come in any order, each at most once; each is read in `clause`, and what they make
//! together is judged in `whole`.

mod clause;
mod whole;

use std::{ops::Range, str::FromStr};

use self::clause::Draft;
use super::{
    error::SyntaxError,
    lexer::{self, Token},
    rule::{Action, Rule, Scope},
};
use crate::config::{nearest::suggestion, text::quote, units::Rate};

impl FromStr for Rule {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let tokens = lexer::tokens(text)?;
        let mut cursor = Cursor {
            text,
            tokens: &tokens,
            last: 0..0,
        };
        let shadow = cursor.take_word("shadow");
        let action = action(&mut cursor)?;
        let matches = if cursor.take_word("any") {
            if let Some(token) = cursor.next() {
                return Err(cursor.wrong(&token, "`any` stands alone: leave it out"));
            }
            super::rule::Matches::everything()
        } else {
            let mut draft = Draft::default();
            if cursor.tokens.is_empty() {
                return Err(cursor.missing("what to match, as `udp sport 123`, or `any`"));
            }
            while let Some(token) = cursor.next() {
                draft.clause(&mut cursor, &token)?;
            }
            draft.whole(text)?
        };
        Ok(Self {
            shadow,
            action,
            matches,
        })
    }
}

const ACTIONS: [&str; 4] = ["drop", "pass", "limit", "shadow"];

fn action(cursor: &mut Cursor<'_, '_>) -> Result<Action, SyntaxError> {
    let token = cursor.need("an action: `drop`, `pass` or `limit`")?;
    match token.text {
        "drop" => Ok(Action::Drop),
        "pass" => Ok(Action::Pass),
        "limit" => limit(cursor),
        other => {
            let message = format!(
                "{} is no action: {}",
                quote(other),
                suggestion(other, &ACTIONS)
            );
            Err(cursor.wrong(&token, message))
        }
    }
}

/// `200/s [burst 400] [per source]`, the two in either order.
fn limit(cursor: &mut Cursor<'_, '_>) -> Result<Action, SyntaxError> {
    let rate = cursor.need("a rate, as `200/s`")?;
    let mut place = rate.place.clone();
    let mut text = rate.text.to_owned();
    let mut burst_given = false;
    let mut scope = Scope::All;
    loop {
        if !burst_given && cursor.take_word("burst") {
            let burst = cursor.need("packets, as `burst 400`")?;
            text.push_str(" burst ");
            text.push_str(burst.text);
            place.end = burst.place.end;
            burst_given = true;
        } else if scope == Scope::All && cursor.take_word("per") {
            let whom = cursor.need("`source`")?;
            if whom.text != "source" {
                let message = format!(
                    "{} is nothing to limit by: write `source`",
                    quote(whom.text)
                );
                return Err(cursor.wrong(&whom, message));
            }
            scope = Scope::Source;
        } else {
            break;
        }
    }
    match text.parse::<Rate>() {
        Ok(rate) => Ok(Action::Limit { rate, scope }),
        Err(error) => Err(SyntaxError::new(cursor.text, place, error.to_string())),
    }
}

/// Where the parser is.
struct Cursor<'c, 't> {
    text: &'t str,
    tokens: &'c [Token<'t>],
    /// The place of the token that was taken last.
    last: Range<usize>,
}

impl<'t> Cursor<'_, 't> {
    fn next(&mut self) -> Option<Token<'t>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        self.last = first.place.clone();
        Some(first.clone())
    }

    /// The next token; `what` is asked for if there is none.
    fn need(&mut self, what: &str) -> Result<Token<'t>, SyntaxError> {
        match self.next() {
            Some(token) => Ok(token),
            None => Err(self.missing(what)),
        }
    }

    /// Takes the next token if it is this word.
    fn take_word(&mut self, word: &str) -> bool {
        let here = self.tokens.first().is_some_and(|token| token.text == word);
        if here {
            let _ = self.next();
        }
        here
    }

    fn wrong(&self, token: &Token<'_>, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.text, token.place.clone(), message)
    }

    /// The text ends too early: behind its last word.
    fn missing(&self, what: &str) -> SyntaxError {
        let end = self.last.end;
        SyntaxError::new(
            self.text,
            end..end,
            format!("the rule ends here: write {what}"),
        )
    }
}

#[cfg(test)]
mod tests;
