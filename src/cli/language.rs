//! The language model that a subcommand works with.

use super::doctor::available_bytes;
use super::setup::Setup;
use super::{Failure, Globals};
use crate::error::Kind;
use crate::format::LlamaFile;
use crate::kernels::{Cpu, Exec};
use crate::llama::{Chat, KvType, Llama, Memory};
use crate::models;
use crate::nn::Compute;
use crate::text::LlamaTokenizer;

/// The model that answers where none is named.
pub(crate) const DEFAULT_MODEL: &str = "smollm2";

/// A model and what belongs to it.
pub(crate) struct Language {
    pub(crate) model: Llama,
    pub(crate) tokenizer: LlamaTokenizer,
    pub(crate) chat: Chat,
    pub(crate) exec: Exec,
}

impl Language {
    /// Loads the model of that name or path for conversations of `n_ctx` tokens, if there is room for it.
    pub(crate) fn load(name: &str, n_ctx: usize, globals: &Globals) -> Result<Self, Failure> {
        let setup = Setup::load(globals)?;
        let compute = globals.compute.is_some().then(|| setup.compute());
        Language::of(&setup, name, (n_ctx, KvType::F16), compute)
    }

    /// The same with a configuration that was read already, for keys and values of that type; weights stay as the
    /// file holds them, where nothing else is asked for.
    pub(crate) fn of(
        setup: &Setup,
        name: &str,
        texts: (usize, KvType),
        compute: Option<Compute>,
    ) -> Result<Self, Failure> {
        let path = models::resolve(name).map_err(|error| {
            let failure = Failure::new(Kind::Model, error.to_string());
            match name {
                DEFAULT_MODEL => failure,
                _ => failure.hint("`hark models pull smollm2` fetches one that answers"),
            }
        })?;
        let file = LlamaFile::open(&path)?;
        megabytes_for(&file, compute, texts)?;
        let exec = Exec::new(Cpu::from_env()?, setup.n_threads());
        let tokenizer = LlamaTokenizer::new(file.vocabulary())
            .map_err(|error| Failure::new(Kind::Model, format!("{}: {error}", path.display())))?;
        let chat = Chat::new(file.chat_template(), &tokenizer)?;
        let model = Llama::load(&file, exec.cpu(), compute)?;
        let megabytes = model.bytes() / 1_000_000;
        log::info!("{} ({}), {megabytes} MB", path.display(), file.title());
        Ok(Language {
            model,
            tokenizer,
            chat,
            exec,
        })
    }
}

/// What a model takes with texts of so many tokens. Refuses what this machine has no room for: it would push
/// everything else out.
pub(crate) fn megabytes_for(
    file: &LlamaFile,
    compute: Option<Compute>,
    (n_ctx, kv): (usize, KvType),
) -> Result<u64, Failure> {
    let n_ctx = n_ctx.min(file.dims().n_ctx);
    let needed = Memory::with_kv(file, compute, kv).bytes(n_ctx) as u64 / 1_000_000;
    match available_bytes().map(|bytes| bytes / 1_000_000) {
        Some(available) if needed > available => {
            let path = file.path().display();
            let message = format!("{path} takes {needed} MB, {available} MB are available");
            let hint = "take a smaller model or a shorter context, or close other programs";
            Err(Failure::new(Kind::Model, message).hint(hint))
        }
        _ => Ok(needed),
    }
}
