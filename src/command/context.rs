//! What commands demand of the values their slots take.
//!
//! Enters: the contexts of the values that a reading of a sentence consists of. Leaves: whether the
//! command may be meant, and slots that are filled from the contexts. Pure.

use std::collections::BTreeMap;

use super::spec::{CommandSpec, Context, Requirement};

/// The demands of one command.
#[derive(Clone, Debug, Default)]
pub(super) struct ContextRules {
    requires: BTreeMap<String, Requirement>,
    excludes: BTreeMap<String, Vec<String>>,
}

impl ContextRules {
    /// Demands nothing.
    pub(super) const NONE: ContextRules = ContextRules {
        requires: BTreeMap::new(),
        excludes: BTreeMap::new(),
    };

    pub(super) fn new(spec: &CommandSpec) -> ContextRules {
        ContextRules {
            requires: spec.requires.clone(),
            excludes: spec.excludes.clone(),
        }
    }

    /// Whether a value with this context contradicts nothing.
    pub(super) fn allow(&self, context: &Context) -> bool {
        let is_required = |(key, wanted): (&String, &Requirement)| {
            let found = context.get(key);
            found.is_none_or(|found| wanted.values.is_empty() || wanted.values.contains(found))
        };
        let is_free_of = |(key, unwanted): (&String, &Vec<String>)| {
            let found = context.get(key);
            found.is_none_or(|found| !unwanted.is_empty() && !unwanted.contains(found))
        };
        self.requires.iter().all(is_required) && self.excludes.iter().all(is_free_of)
    }

    /// Whether all that must be said of the values is said by one of `contexts`, none of which
    /// contradicts anything.
    pub(super) fn are_met_by(&self, contexts: &[&Context]) -> bool {
        let must_be_there = |wanted: &Requirement| !(wanted.to_slot && wanted.values.is_empty());
        let wanted = self.requires.iter().filter(|(_, w)| must_be_there(w));
        wanted.map(|(key, _)| key).all(|key| {
            let mut said = contexts.iter();
            said.any(|context| context.contains_key(key))
        })
    }

    /// The slots that are filled from `contexts`.
    pub(super) fn slots<'c>(
        &self,
        contexts: &[&'c Context],
    ) -> impl Iterator<Item = (&String, &'c String)> {
        let copied = self.requires.iter().filter(|(_, wanted)| wanted.to_slot);
        copied.filter_map(|(key, _)| {
            let value = contexts.iter().find_map(|context| context.get(key))?;
            Some((key, value))
        })
    }

    /// Names of the slots that may be filled from contexts.
    pub(super) fn slot_names(&self) -> impl Iterator<Item = &str> {
        let copied = self.requires.iter().filter(|(_, wanted)| wanted.to_slot);
        copied.map(|(key, _)| key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(all: &[(&str, &str)]) -> Context {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        all.iter().map(owned).collect()
    }

    fn rules() -> ContextRules {
        let domain = Requirement {
            values: vec!["light".to_owned(), "fan".to_owned()],
            to_slot: false,
        };
        let area = Requirement {
            values: Vec::new(),
            to_slot: true,
        };
        let requires = [("domain".to_owned(), domain), ("area".to_owned(), area)];
        let excludes = [
            ("class".to_owned(), vec!["door".to_owned()]),
            ("hidden".to_owned(), Vec::new()),
        ];
        ContextRules {
            requires: requires.into(),
            excludes: excludes.into(),
        }
    }

    #[test]
    fn a_value_must_not_contradict() {
        let allowed = |all: &[(&str, &str)]| rules().allow(&context(all));
        assert!(allowed(&[]));
        assert!(allowed(&[("domain", "fan"), ("class", "window")]));
        assert!(!allowed(&[("domain", "lock")]));
        assert!(!allowed(&[("domain", "fan"), ("class", "door")]));
        assert!(!allowed(&[("hidden", "anything")]));
    }

    #[test]
    fn one_value_must_say_what_is_required() {
        let (lamp, room) = (
            context(&[("domain", "light")]),
            context(&[("area", "hall")]),
        );
        assert!(rules().are_met_by(&[&room, &lamp]));
        assert!(!rules().are_met_by(&[&room]));
        assert!(!rules().are_met_by(&[]));
    }

    #[test]
    fn a_slot_is_filled_where_there_is_something() {
        let (lamp, room) = (
            context(&[("domain", "light")]),
            context(&[("area", "hall")]),
        );
        let filled = |contexts: &[&Context]| -> Vec<String> {
            let rules = rules();
            let slots = rules.slots(contexts);
            slots.map(|(k, v)| format!("{k}={v}")).collect()
        };
        assert_eq!(filled(&[&lamp, &room]), ["area=hall"]);
        assert!(filled(&[&lamp]).is_empty());
    }
}
