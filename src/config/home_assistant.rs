//! Home Assistant's sentence files.
//!
//! Two layouts are read: that of the repository of its sentences (`sentences/en/INTENT/*.yaml` with
//! `lists`, `rules` and `intents.yaml` beside `sentences`), and any other folder or single file whose
//! sentences stand under `intents`. An intent becomes a command of that name, each block of its
//! sentences a part of it. Responses are of no concern here.
//!
//! Lists and rules of a folder are known to its own sentences only. A list that it uses and does
//! not have is looked for among those of the configuration: there belong `name`, `area` and
//! `floor`, which depend on the house. Without them the sentences about them cannot be said.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lists::{ENDS, FRACTIONS};
use super::yaml::{self, Fields, Value, Yaml};
use super::{ConfigError, read_file};
use crate::command::template::is_name;
use crate::command::{
    CommandSpec, Context, Fractions, GrammarSpec, ListSpec, ListValue, NumberRange, Origin,
    Requirement, Scope, Sentence,
};
use crate::text::language_from;

/// Most files of a folder.
const MAX_FILES: usize = 20_000;
/// Deepest folder.
const MAX_DEPTH: usize = 8;

/// Reads the file or folder `path`, which is included at `from`.
pub(super) fn read(path: &Path, from: &Origin, to: &mut GrammarSpec) -> Result<(), ConfigError> {
    let mut reader = Reader {
        from,
        scope: Scope {
            default_lists: default_lists(),
            ..Scope::default()
        },
        skip_words: Vec::new(),
        languages: BTreeSet::new(),
        combinations: HashMap::new(),
        blocks: Vec::new(),
    };
    match Layout::of(path, from)? {
        Some(layout) => reader.repository(&layout)?,
        None if path.is_dir() => reader.folder(path)?,
        None => reader.file(path, None)?,
    }
    reader.finish(to);
    Ok(())
}

/// Where the files of the repository's layout are.
struct Layout {
    root: PathBuf,
    language: String,
}

impl Layout {
    /// That of the folder `path`, which is the root of it or the folder of a language's sentences;
    /// none when it is another folder, or no folder.
    fn of(path: &Path, from: &Origin) -> Result<Option<Layout>, ConfigError> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let sentences = path.join("sentences");
        if sentences.is_dir() {
            let language = language(&sentences, from)?;
            return Ok(Some(Layout {
                root: path,
                language,
            }));
        }
        let parent = path.parent().filter(|parent| parent.ends_with("sentences"));
        let (Some(parent), Some(name), true) = (parent, path.file_name(), path.is_dir()) else {
            return Ok(None);
        };
        Ok(parent.parent().map(|root| Layout {
            root: root.to_owned(),
            language: name.to_string_lossy().into_owned(),
        }))
    }
}

/// The only language there is, or English.
fn language(sentences: &Path, from: &Origin) -> Result<String, ConfigError> {
    let folders = listed(sentences, from)?.into_iter();
    let folders = folders.filter(|path| path.is_dir());
    let names = folders.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let names: Vec<String> = names.collect();
    match &names[..] {
        [only] => Ok(only.clone()),
        names if names.iter().any(|name| name == "en") => Ok("en".to_owned()),
        names => Err(ConfigError::Value {
            origin: from.clone(),
            key: "commands.include".to_owned(),
            found: format!("a folder of {} languages", names.len()),
            expected: format!(
                "the folder of one of them: {}/{}",
                sentences.display(),
                names.first().map_or("en", String::as_str)
            ),
        }),
    }
}

/// What is in a folder, sorted by name.
fn listed(folder: &Path, from: &Origin) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Include {
        origin: from.clone(),
        path: folder.to_owned(),
        source,
    };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        all.push(entry.map_err(failed)?.path());
        if all.len() > MAX_FILES {
            let message = format!("it has more than {MAX_FILES} files");
            return Err(failed(std::io::Error::other(message)));
        }
    }
    all.sort();
    Ok(all)
}

/// The YAML files in a folder and the folders in it.
fn yaml_files(folder: &Path, from: &Origin) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        for path in listed(&folder, from)? {
            if path.is_dir() && depth < MAX_DEPTH {
                open.push((path, depth + 1));
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                files.push(path);
            }
        }
        if files.len() + open.len() > MAX_FILES {
            return Err(ConfigError::Include {
                origin: from.clone(),
                path: folder,
                source: std::io::Error::other(format!("there are more than {MAX_FILES} files")),
            });
        }
    }
    files.sort();
    Ok(files)
}

/// What `intents.yaml` says about a file of sentences.
#[derive(Default)]
struct Combination {
    slots: Vec<String>,
    /// The area of whoever listens counts as one that was said.
    has_context_area: bool,
    /// Domains under a name of their own.
    groups: BTreeMap<String, Vec<String>>,
}

/// A block of sentences, and the rules that only it has.
struct Block {
    spec: CommandSpec,
    rules: BTreeMap<String, Sentence>,
}

struct Reader<'a> {
    from: &'a Origin,
    scope: Scope,
    skip_words: Vec<Sentence>,
    languages: BTreeSet<&'static str>,
    /// By the name of the intent and that of the file.
    combinations: HashMap<(String, String), Combination>,
    blocks: Vec<Block>,
}

impl Reader<'_> {
    fn finish(self, to: &mut GrammarSpec) {
        let scope = Arc::new(self.scope);
        let has_sentences = !self.blocks.is_empty();
        for Block { mut spec, rules } in self.blocks {
            spec.scope = match rules.is_empty() {
                true => Arc::clone(&scope),
                false => {
                    let mut own = Scope::clone(&scope);
                    own.rules.extend(rules);
                    Arc::new(own)
                }
            };
            to.commands.push(spec);
        }
        to.skip_words.extend(self.skip_words);
        if has_sentences {
            to.languages.add(self.languages);
        }
    }

    fn repository(&mut self, layout: &Layout) -> Result<(), ConfigError> {
        let root = &layout.root;
        let intents = root.join("intents.yaml");
        if intents.is_file() {
            self.intents(&intents)?;
        }
        let shared = root.join("lists");
        if shared.is_dir() {
            for path in listed(&shared, self.from)? {
                if path.extension().is_some_and(|e| e == "yaml") {
                    self.file(&path, None)?;
                }
            }
        }
        for kind in ["lists", "rules"] {
            let folder = root.join(kind).join(&layout.language);
            if folder.is_dir() {
                self.folder(&folder)?;
            }
        }
        self.folder(&root.join("sentences").join(&layout.language))
    }

    fn folder(&mut self, folder: &Path) -> Result<(), ConfigError> {
        for path in yaml_files(folder, self.from)? {
            let parent = path.parent().filter(|parent| *parent != folder);
            let intent = parent.and_then(|p| Some(p.file_name()?.to_str()?.to_owned()));
            self.file(&path, intent.as_deref())?;
        }
        Ok(())
    }

    fn parse(&self, path: &Path) -> Result<Yaml, ConfigError> {
        let text = read_file(path).map_err(|source| ConfigError::Include {
            origin: self.from.clone(),
            path: path.to_owned(),
            source,
        })?;
        yaml::parse(&Arc::new(path.to_owned()), &text)
    }

    /// The slot combinations of all intents.
    fn intents(&mut self, path: &Path) -> Result<(), ConfigError> {
        let root = self.parse(path)?;
        for (intent, about) in root.entries("intents")? {
            let about = about.entries(intent)?.iter();
            let combinations = about.filter(|(key, _)| key == "slot_combinations");
            for (key, combinations) in combinations {
                for (name, about) in combinations.entries(key)? {
                    let key = (intent.clone(), name.clone());
                    self.combinations.insert(key, combination(name, about)?);
                }
            }
        }
        Ok(())
    }

    /// One file; sentences that stand under `data` are those of `intent`.
    fn file(&mut self, path: &Path, intent: Option<&str>) -> Result<(), ConfigError> {
        let root = self.parse(path)?;
        let mut fields = root.fields("the file")?;
        for ignored in ["responses", "settings"] {
            fields.take(ignored);
        }
        let language = fields.take("language");
        let language = language.and_then(|name| name.text("language").ok());
        self.languages.extend(language.and_then(language_from));
        self.common(&mut fields)?;
        if let Some(data) = fields.take("data") {
            let Some(intent) = intent else {
                return Err(data.invalid("data", "in a folder that has the name of the intent"));
            };
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            self.data(intent, &stem, data)?;
        }
        if let Some(intents) = fields.take("intents") {
            for (intent, about) in intents.entries("intents")? {
                let mut about = about.fields(intent)?;
                for ignored in ["domain", "description", "supported"] {
                    about.take(ignored);
                }
                if let Some(data) = about.take("data") {
                    self.data(intent, "", data)?;
                }
                about.finish()?;
            }
        }
        fields.finish()
    }

    /// Lists, rules and skip words for all files.
    fn common(&mut self, fields: &mut Fields) -> Result<(), ConfigError> {
        if let Some(lists) = fields.take("lists") {
            self.scope.lists.extend(named_lists(lists)?);
        }
        if let Some(rules) = fields.take("expansion_rules") {
            self.scope.rules.extend(named_rules(rules)?);
        }
        for words in fields.take("skip_words").map_or(&[][..], Yaml::elements) {
            self.skip_words.push(sentence(words, "skip_words")?);
        }
        Ok(())
    }

    fn data(&mut self, intent: &str, file: &str, data: &Yaml) -> Result<(), ConfigError> {
        if !is_name(intent) {
            let expected = "the sentences of an intent with a name of letters, digits and `_`";
            return Err(data.invalid("data", expected));
        }
        let key = (intent.to_owned(), file.to_owned());
        let unknown = Combination::default();
        let combination = self.combinations.get(&key);
        for yaml in data.elements() {
            let mut block = Block {
                spec: CommandSpec {
                    name: intent.to_owned(),
                    is_block: true,
                    origin: yaml.origin.clone(),
                    ..CommandSpec::default()
                },
                rules: BTreeMap::new(),
            };
            let mut fields = yaml.fields("data")?;
            spoken(&mut fields, &mut block, yaml)?;
            domains(&mut fields, &mut block.spec, combination)?;
            contexts(&mut fields, &mut block.spec)?;
            if combination.unwrap_or(&unknown).has_context_area {
                let area = block.spec.requires.entry("area".to_owned());
                area.or_default().to_slot = true;
            }
            for ignored in IGNORED {
                fields.take(ignored);
            }
            fields.finish()?;
            self.blocks.push(block);
        }
        Ok(())
    }
}

/// Keys of a block that say nothing about what can be said.
const IGNORED: [&str; 7] = [
    "response",
    "metadata",
    "example",
    "description",
    "importance",
    "speech_to_phrase",
    "settings",
];

fn combination(name: &str, about: &Yaml) -> Result<Combination, ConfigError> {
    let mut combination = Combination::default();
    for (key, value) in about.entries(name)? {
        match key.as_str() {
            "slots" => combination.slots = value.texts(key)?,
            "context_area" => combination.has_context_area = value.flag(key)?,
            "name_domain_groups" => {
                for (group, domains) in value.entries(key)? {
                    let domains = domains.texts(group)?;
                    combination.groups.insert(group.clone(), domains);
                }
            }
            _ => {}
        }
    }
    Ok(combination)
}

/// The sentences of a block, its own lists and rules, and slots that no sentence fills.
fn spoken(fields: &mut Fields, block: &mut Block, yaml: &Yaml) -> Result<(), ConfigError> {
    let Some(sentences) = fields.take("sentences") else {
        return Err(ConfigError::Missing {
            origin: yaml.origin.clone(),
            key: "sentences".to_owned(),
        });
    };
    for element in sentences.elements() {
        block.spec.sentences.push(sentence(element, "sentences")?);
    }
    if let Some(lists) = fields.take("lists") {
        block.spec.lists = named_lists(lists)?;
    }
    if let Some(rules) = fields.take("expansion_rules") {
        block.rules = named_rules(rules)?;
    }
    if let Some(slots) = fields.take("slots") {
        for (slot, value) in slots.entries("slots")? {
            // Several values are one text: a command gets it as it is.
            let value = value.texts(slot)?.join(",");
            block.spec.slots.insert(slot.clone(), value);
        }
    }
    if let Some(keywords) = fields.take("required_keywords") {
        block.spec.required_keywords = keywords.texts("required_keywords")?;
    }
    Ok(())
}

/// The domains of a block: those that `name` may be of, and that which the sentences speak of.
fn domains(
    fields: &mut Fields,
    spec: &mut CommandSpec,
    combination: Option<&Combination>,
) -> Result<(), ConfigError> {
    if let Some(yaml) = fields.take("name_domains") {
        let values = match &yaml.value {
            Value::Text(group) => {
                let groups = combination.map(|combination| &combination.groups);
                let domains = groups.and_then(|groups| groups.get(group)).cloned();
                let expected = "a list of domains, or a group of them in intents.yaml";
                domains.ok_or_else(|| yaml.invalid("name_domains", expected))?
            }
            _ => yaml.texts("name_domains")?,
        };
        let wanted = Requirement {
            values,
            to_slot: false,
        };
        spec.requires.insert("domain".to_owned(), wanted);
    }
    if let Some(domain) = fields.take("inferred_domain") {
        let domain = domain.text("inferred_domain")?.to_owned();
        // An intent that is about one domain only has no slot for it.
        let is_slot = |known: &Combination| known.slots.iter().any(|slot| slot == "domain");
        if combination.is_none_or(is_slot) {
            spec.slots.insert("domain".to_owned(), domain);
        }
    }
    Ok(())
}

/// What the contexts of a block's values must be and must not be.
fn contexts(fields: &mut Fields, spec: &mut CommandSpec) -> Result<(), ConfigError> {
    if let Some(wanted) = fields.take("requires_context") {
        for (key, value) in wanted.entries("requires_context")? {
            let mut requirement = Requirement::default();
            match &value.value {
                Value::Map(_) => {
                    let mut fields = value.fields(key)?;
                    if let Some(slot) = fields.take("slot") {
                        requirement.to_slot = slot.flag("slot")?;
                    }
                    if let Some(values) = fields.take("value") {
                        requirement.values = values.texts(key)?;
                    }
                    fields.finish()?;
                }
                _ => requirement.values = value.texts(key)?,
            }
            spec.requires.insert(key.clone(), requirement);
        }
    }
    if let Some(unwanted) = fields.take("excludes_context") {
        for (key, value) in unwanted.entries("excludes_context")? {
            spec.excludes.insert(key.clone(), value.texts(key)?);
        }
    }
    Ok(())
}

fn sentence(yaml: &Yaml, key: &str) -> Result<Sentence, ConfigError> {
    Ok(Sentence {
        template: yaml.text(key)?.to_owned(),
        origin: yaml.origin.clone(),
    })
}

fn named_rules(yaml: &Yaml) -> Result<BTreeMap<String, Sentence>, ConfigError> {
    let rules = yaml.entries("expansion_rules")?.iter();
    rules
        .map(|(name, rule)| Ok((name.clone(), sentence(rule, name)?)))
        .collect()
}

fn named_lists(yaml: &Yaml) -> Result<BTreeMap<String, ListSpec>, ConfigError> {
    let lists = yaml.entries("lists")?.iter();
    lists
        .map(|(name, about)| Ok((name.clone(), list(name, about)?)))
        .collect()
}

fn list(name: &str, yaml: &Yaml) -> Result<ListSpec, ConfigError> {
    let mut fields = yaml.fields(name)?;
    fields.take("metadata");
    let (values, range) = (fields.take("values"), fields.take("range"));
    let wildcard = fields.take("wildcard");
    fields.finish()?;
    let is_wildcard = wildcard.map(|yaml| yaml.flag("wildcard")).transpose()?;
    match (values, range, is_wildcard) {
        (Some(values), None, None | Some(false)) => {
            let values = values.elements().iter().map(list_value);
            Ok(ListSpec::Values(values.collect::<Result<_, _>>()?))
        }
        (None, Some(yaml), None | Some(false)) => range_of(yaml),
        (None, None, Some(true)) => Ok(ListSpec::Free),
        _ => Err(yaml.invalid(name, "one of `values`, `range` and `wildcard: true`")),
    }
}

fn list_value(yaml: &Yaml) -> Result<ListValue, ConfigError> {
    if let Value::Text(_) = yaml.value {
        return Ok(ListValue {
            spoken: sentence(yaml, "values")?,
            ..ListValue::default()
        });
    }
    let mut fields = yaml.fields("values")?;
    fields.take("metadata");
    let Some(spoken) = fields.take("in") else {
        return Err(yaml.invalid("values", "a text, or `in` and `out`"));
    };
    let out = fields.take("out");
    let mut context = Context::new();
    if let Some(about) = fields.take("context") {
        for (key, value) in about.entries("context")? {
            context.insert(key.clone(), value.text(key)?.to_owned());
        }
    }
    fields.finish()?;
    Ok(ListValue {
        spoken: sentence(spoken, "in")?,
        value: out
            .map(|out| out.text("out").map(str::to_owned))
            .transpose()?,
        context,
    })
}

fn range_of(yaml: &Yaml) -> Result<ListSpec, ConfigError> {
    let mut fields = yaml.fields("range")?;
    let mut range = NumberRange::new(0, 0);
    let whole = |yaml: &Yaml, key: &str| {
        let number = yaml.text(key).ok().and_then(|text| text.parse().ok());
        let number = number.filter(|number| ENDS.contains(number));
        number.ok_or_else(|| yaml.invalid(key, "a whole number of 32 bits"))
    };
    let (Some(from), Some(to)) = (fields.take("from"), fields.take("to")) else {
        return Err(yaml.invalid("range", "a map with `from` and `to`"));
    };
    (range.from, range.to) = (whole(from, "from")?, whole(to, "to")?);
    if range.to < range.from {
        return Err(to.invalid("to", "no less than `from`"));
    }
    if let Some(step) = fields.take("step") {
        range.step = whole(step, "step")?;
        if range.step < 1 {
            return Err(step.invalid("step", "a whole number above 0"));
        }
    }
    if let Some(kind) = fields.take("type")
        && !matches!(kind.text("type")?, "number" | "percentage" | "temperature")
    {
        return Err(kind.invalid("type", "number, percentage or temperature"));
    }
    fine_points(&mut fields, &mut range)?;
    fields.finish()?;
    Ok(ListSpec::Range(range))
}

/// Fractions between the whole numbers, and what the slot receives.
fn fine_points(fields: &mut Fields, range: &mut NumberRange) -> Result<(), ConfigError> {
    if let Some(fractions) = fields.take("fractions") {
        let name = fractions.text("fractions")?;
        let found = FRACTIONS.iter().find(|(known, _)| *known == name);
        let (_, found) = found.ok_or_else(|| fractions.invalid("fractions", "halves or tenths"))?;
        range.fractions = *found;
    }
    if let Some(multiplier) = fields.take("multiplier") {
        let number = multiplier.text("multiplier")?.parse::<f64>().ok();
        let number = number.filter(|number| number.abs() <= 1_000.0);
        let expected = "a number from -1000 to 1000";
        range.multiplier = number.ok_or_else(|| multiplier.invalid("multiplier", expected))?;
    }
    Ok(())
}

/// Lists that Home Assistant's sentences take for granted: numbers, free words, and what depends on
/// the house.
fn default_lists() -> BTreeMap<String, ListSpec> {
    let range = |from, to| ListSpec::Range(NumberRange::new(from, to));
    let percent = || range(0, 100);
    let degrees = NumberRange {
        fractions: Fractions::Halves,
        ..NumberRange::new(0, 100)
    };
    let down = NumberRange {
        multiplier: -1.0,
        ..NumberRange::new(0, 100)
    };
    let nothing = || ListSpec::Values(Vec::new());
    let lists = [
        ("name", nothing()),
        ("area", nothing()),
        ("floor", nothing()),
        ("brightness", percent()),
        ("position", percent()),
        ("volume", percent()),
        ("fan_speed", percent()),
        ("volume_step_up", percent()),
        ("volume_step_down", ListSpec::Range(down)),
        ("temperature", ListSpec::Range(degrees)),
        ("color_temperature", range(1_000, 10_000)),
        ("timer_hours", range(1, 100)),
        ("timer_minutes", range(1, 100)),
        ("timer_seconds", range(1, 100)),
        ("timer_name", ListSpec::Free),
        ("timer_command", ListSpec::Free),
        ("todo_list_item", ListSpec::Free),
        ("shopping_list_item", ListSpec::Free),
        ("message", ListSpec::Free),
        ("search_query", ListSpec::Free),
        ("zone", ListSpec::Free),
    ];
    lists.map(|(name, list)| (name.to_owned(), list)).into()
}
