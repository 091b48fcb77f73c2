//! Commands that wait for a yes or a no. One is asked about at a time; the others wait behind it.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{ConfirmState, Event, Seconds};

/// How long the beginning of speech may take to become known, in seconds.
const LATENESS_S: f64 = 0.5;

/// A command that must be confirmed.
#[derive(Clone, Debug)]
pub(crate) struct Unconfirmed {
    /// Utterance of the command.
    pub(crate) id: u64,
    /// Index of the command.
    pub(crate) command: usize,
    /// Its name.
    pub(crate) name: String,
    /// Values of its slots.
    pub(crate) slots: BTreeMap<String, String>,
    /// Quality of the match.
    pub(crate) score: f32,
    /// Distance to the next different command.
    pub(crate) margin: Option<f32>,
    /// What was heard.
    pub(crate) heard: String,
    /// What to ask.
    pub(crate) text: String,
}

impl Unconfirmed {
    /// What became of it.
    pub(crate) fn event(&self, t: Seconds, state: ConfirmState) -> Event {
        Event::Confirm {
            id: self.id,
            t,
            name: self.name.clone(),
            slots: self.slots.clone(),
            state,
        }
    }
}

/// What was said to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Do it.
    Yes,
    /// Do not.
    No,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Questions {
    patience_s: f64,
    waiting: VecDeque<Unconfirmed>,
    /// Until when the first one waits for its answer.
    deadline: Seconds,
}

impl Questions {
    /// No questions; each will wait for `patience_s` seconds.
    pub(crate) fn new(patience_s: f32) -> Self {
        Questions {
            patience_s: f64::from(patience_s),
            waiting: VecDeque::new(),
            deadline: Seconds::default(),
        }
    }

    /// Whether one waits for its answer.
    pub(crate) fn is_open(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Adds a question; whether it can be asked at once. There are as many at most as one sentence
    /// has commands: a new sentence drops those that wait.
    pub(crate) fn add(&mut self, question: Unconfirmed, t: Seconds) -> bool {
        self.waiting.push_back(question);
        let is_first = self.waiting.len() == 1;
        if is_first {
            self.wait_from(t);
        }
        is_first
    }

    /// Whether speech that began at `t0` can be the answer.
    pub(crate) fn takes(&self, t0: Seconds) -> bool {
        self.is_open() && t0 <= self.deadline
    }

    /// Takes the first question out; the next one, if there is one, waits from `t` on.
    pub(crate) fn take(&mut self, t: Seconds) -> Option<Unconfirmed> {
        let question = self.waiting.pop_front();
        self.wait_from(t);
        question
    }

    /// The question that is asked.
    pub(crate) fn asked(&self) -> Option<&Unconfirmed> {
        self.waiting.front()
    }

    /// When the first question expires, if nobody speaks.
    pub(crate) fn due(&self) -> Option<Seconds> {
        self.is_open()
            .then_some(Seconds(self.deadline.0 + LATENESS_S))
    }

    /// Takes all questions out when the first one has expired: whoever does not answer the first
    /// is not there for the others. Speech that began in time, at `speaks_since`, may be the answer.
    pub(crate) fn expire(
        &mut self,
        heard: Seconds,
        speaks_since: Option<Seconds>,
    ) -> Vec<Unconfirmed> {
        let over = self.due().is_some_and(|due| heard >= due);
        let answered = speaks_since.is_some_and(|t0| t0 <= self.deadline);
        match over && !answered {
            true => self.waiting.drain(..).collect(),
            false => Vec::new(),
        }
    }

    /// Takes all questions out.
    pub(crate) fn drop_all(&mut self) -> Vec<Unconfirmed> {
        self.waiting.drain(..).collect()
    }

    fn wait_from(&mut self, t: Seconds) {
        self.deadline = Seconds(t.0 + self.patience_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str) -> Unconfirmed {
        Unconfirmed {
            id: 1,
            command: 0,
            name: name.to_owned(),
            slots: BTreeMap::new(),
            score: 0.0,
            margin: None,
            heard: name.to_owned(),
            text: format!("{name}?"),
        }
    }

    #[test]
    fn one_is_asked_at_a_time() {
        let mut questions = Questions::new(10.0);
        assert!(questions.add(question("a"), Seconds(1.0)));
        assert!(!questions.add(question("b"), Seconds(1.0)));
        assert!(questions.takes(Seconds(11.0)));
        assert!(!questions.takes(Seconds(11.1)));
        assert!(questions.take(Seconds(9.0)).is_some_and(|q| q.name == "a"));
        assert!(questions.takes(Seconds(19.0)));
        assert!(questions.asked().is_some_and(|q| q.name == "b"));
        assert_eq!(questions.drop_all().len(), 1);
    }

    #[test]
    fn silence_lets_it_expire_and_speech_in_time_does_not() {
        let mut questions = Questions::new(10.0);
        questions.add(question("a"), Seconds(1.0));
        assert_eq!(questions.due(), Some(Seconds(11.5)));
        assert!(questions.expire(Seconds(11.4), None).is_empty());
        assert!(
            questions
                .expire(Seconds(12.0), Some(Seconds(10.9)))
                .is_empty()
        );
        assert_eq!(
            questions.expire(Seconds(12.0), Some(Seconds(11.2))).len(),
            1
        );
        assert!(!questions.is_open());
        assert_eq!(questions.due(), None);
    }
}
