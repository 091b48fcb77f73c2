//! The speaker as the voice of actions: neither of the two knows the other.

use crate::command::action::{ActionError, Attempt, Voice};
use crate::speech::{Speaker, SpeechError};

impl Voice for Speaker {
    fn say(&self, text: &str, attempt: &Attempt<'_>) -> Result<(), ActionError> {
        let saying = Speaker::say(self, text).map_err(action_error)?;
        // Silenced is as good as said: somebody has heard enough.
        let spoken = saying.wait(attempt.deadline, attempt.stop);
        spoken.map(drop).map_err(action_error)
    }
}

fn action_error(error: SpeechError) -> ActionError {
    match error {
        SpeechError::TimedOut => ActionError::TimedOut,
        SpeechError::Stopped => ActionError::Stopped,
        other => ActionError::Speech(other.to_string()),
    }
}
