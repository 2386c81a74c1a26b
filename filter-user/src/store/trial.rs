//! What waits for confirmation, as the value of a row.

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rows;
use crate::{
    api::types::ListKind,
    core::{
        lists::Note,
        rules::AddedRule,
        state::{Change, Set},
        trial::{Inverse, Texts, Trial},
    },
};

#[derive(Serialize, Deserialize)]
struct Kept {
    texts: Vec<String>,
    config: Option<KeptTexts>,
    entries: Vec<KeptEntry>,
    overrides: Vec<KeptOverride>,
    rules: Vec<KeptRule>,
}

#[derive(Serialize, Deserialize)]
struct KeptTexts {
    before: String,
    after: String,
}

#[derive(Serialize, Deserialize)]
struct KeptEntry {
    list: String,
    prefix: IpNet,
    note: Option<KeptNote>,
}

#[derive(Serialize, Deserialize)]
struct KeptNote {
    reason: String,
    by: String,
    since: Timestamp,
    until: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct KeptOverride {
    name: String,
    set: Option<KeptSet>,
}

#[derive(Serialize, Deserialize)]
struct KeptSet {
    value: String,
    by: String,
    since: Timestamp,
    until: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct KeptRule {
    number: u32,
    rule: Option<KeptAdded>,
}

#[derive(Serialize, Deserialize)]
struct KeptAdded {
    place: u64,
    rule: String,
    note: KeptNote,
}

/// A trial as a row. What the controller held before it is left out: no restart finds that again.
pub fn as_set(trial: &Trial) -> Set<String> {
    let entries = trial.inverse.entries.iter();
    let mut kept = Kept {
        texts: trial.texts.clone(),
        config: trial.config.as_ref().map(keep_texts),
        entries: entries
            .map(|((kind, prefix), note)| KeptEntry {
                list: kind.noun().to_owned(),
                prefix: *prefix,
                note: note.as_ref().map(keep_note),
            })
            .collect(),
        overrides: Vec::new(),
        rules: Vec::new(),
    };
    for change in &trial.inverse.others {
        if let Change::Rule(number, added) = change {
            let rule = added.as_ref().map(|added| KeptAdded {
                place: added.place,
                rule: added.rule.to_string(),
                note: keep_note(&added.note),
            });
            kept.rules.push(KeptRule {
                number: *number,
                rule,
            });
        } else if let Some((name, set)) = rows::override_of(change) {
            let set = set.map(|set| KeptSet {
                value: set.value,
                by: set.by,
                since: set.since,
                until: set.until,
            });
            kept.overrides.push(KeptOverride { name, set });
        }
    }
    Set {
        // Texts and numbers always make JSON.
        value: serde_json::to_string(&kept).unwrap_or_default(),
        by: trial.by.clone(),
        since: trial.since,
        until: Some(trial.until),
    }
}

/// The inverse of [`as_set`].
pub fn of_set(set: &Set<String>) -> Option<Trial> {
    let kept: Kept = serde_json::from_str(&set.value).ok()?;
    let mut inverse = Inverse::default();
    for entry in kept.entries {
        let mut kinds = ListKind::ALL.into_iter();
        let kind = kinds.find(|kind| kind.noun() == entry.list)?;
        let place = (kind, entry.prefix);
        inverse.entries.insert(place, entry.note.map(note));
    }
    for row in kept.overrides {
        let set = row.set.map(|set| Set {
            value: set.value,
            by: set.by,
            since: set.since,
            until: set.until,
        });
        inverse.others.push(rows::change_of(&row.name, set)?);
    }
    for row in kept.rules {
        let added = match row.rule {
            None => None,
            Some(added) => Some(AddedRule {
                place: added.place,
                rule: added.rule.parse().ok()?,
                note: note(added.note),
            }),
        };
        inverse.others.push(Change::Rule(row.number, added));
    }
    Some(Trial {
        by: set.by.clone(),
        since: set.since,
        until: set.until?,
        texts: kept.texts,
        inverse,
        config: kept.config.map(texts),
    })
}

/// Texts of the configuration as a row.
pub fn texts_as_set(texts: &Texts) -> Set<String> {
    Set {
        value: serde_json::to_string(&keep_texts(texts)).unwrap_or_default(),
        by: String::new(),
        since: Timestamp::UNIX_EPOCH,
        until: None,
    }
}

/// The inverse of [`texts_as_set`].
pub fn texts_of_set(set: &Set<String>) -> Option<Texts> {
    serde_json::from_str(&set.value).ok().map(texts)
}

fn keep_texts(texts: &Texts) -> KeptTexts {
    KeptTexts {
        before: texts.before.clone(),
        after: texts.after.clone(),
    }
}

fn texts(kept: KeptTexts) -> Texts {
    Texts {
        before: kept.before,
        after: kept.after,
    }
}

fn keep_note(note: &Note) -> KeptNote {
    KeptNote {
        reason: note.reason.clone(),
        by: note.by.clone(),
        since: note.since,
        until: note.until,
    }
}

fn note(kept: KeptNote) -> Note {
    Note {
        reason: kept.reason,
        by: kept.by,
        since: kept.since,
        until: kept.until,
    }
}
