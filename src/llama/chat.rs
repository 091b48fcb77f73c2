//! Conversations as the text that a model was trained to go on with.
//!
//! In: messages, and the template in the model's file (Jinja). Out: text with the model's own marks. A template
//! is foreign code: it runs with a bound on its work, and sees nothing but the messages.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use crate::error::{Classify, Kind};
use crate::text::LlamaTokenizer;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What the model is to be.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// What templates call it.
    fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// Something that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: String,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the model's chat template cannot be used: {what}; take another model, or one without a template"
)]
pub struct ChatError {
    what: String,
}

impl Classify for ChatError {
    fn kind(&self) -> Kind {
        Kind::Model
    }
}

/// Steps of a template before it is given up: real ones need some thousands.
const FUEL: u64 = 1_000_000;

/// The longest conversation that is looked at, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// ChatML, for models without a template.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
                      {{ message.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const NAME: &str = "chat";

/// A template.
#[derive(Debug)]
pub struct Chat {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl Chat {
    /// The conversation template of a model, ChatML where it has none.
    ///
    /// # Errors
    /// If the template is none.
    pub fn new(template: Option<&str>, tokenizer: &LlamaTokenizer) -> Result<Self, ChatError> {
        let mut environment = Environment::new();
        // As Hugging Face's `transformers` runs them.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(|error| chat_error(&error))?);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |what: String| -> Result<(), minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, what))
            },
        );
        let template = template.unwrap_or(CHATML).to_owned();
        let added = environment.add_template_owned(NAME, template);
        added.map_err(|error| chat_error(&error))?;
        Ok(Chat {
            environment,
            bos: tokenizer.bos_text().to_owned(),
            eos: tokenizer.eos_text().to_owned(),
        })
    }

    /// The text of a conversation, up to where the model goes on. Nothing that is said in it is a mark.
    ///
    /// # Errors
    /// If the template refuses.
    pub fn prompt(
        &self,
        messages: &[Message],
        tokenizer: &LlamaTokenizer,
    ) -> Result<String, ChatError> {
        let n_bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        if n_bytes > MAX_BYTES {
            return Err(ChatError {
                what: format!("{n_bytes} bytes were said"),
            });
        }
        let said = messages.iter().map(|message| {
            context! { role => message.role.name(), content => tokenizer.without_control(&message.content) }
        });
        let said: Vec<Value> = said.collect();
        let template = self.environment.get_template(NAME);
        let context = context! {
            messages => said,
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            // Qwen3 would think aloud first.
            enable_thinking => false,
        };
        template
            .and_then(|template| template.render(context))
            .map_err(|error| chat_error(&error))
    }
}

fn chat_error(error: &minijinja::Error) -> ChatError {
    ChatError {
        what: error.to_string(),
    }
}
