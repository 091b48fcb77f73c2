//! Brackets inside words: `light[s]` is `lights` or `light`.
//!
//! Enters: parts of a sequence. Leaves: the same parts, those that touch each other replaced by
//! the list of their spellings.

use super::template::Node;

/// A part of a sequence and whether a space separates it from the part before.
struct Piece {
    node: Node,
    is_glued: bool,
}

/// Replaces parts that touch each other, such as `light[s]`, by their spellings; nothing when a
/// word has more than `limit` of them.
pub(super) fn join_glued(parts: &[Node], limit: usize) -> Option<Vec<Node>> {
    let mut out = Vec::new();
    let mut run: Vec<Node> = Vec::new();
    for piece in pieces(parts) {
        let is_plain = is_plain(&piece.node);
        if !(piece.is_glued && is_plain) {
            flush_run(&mut run, &mut out, limit)?;
        }
        if is_plain {
            run.push(piece.node);
        } else {
            out.push(piece.node);
        }
    }
    flush_run(&mut run, &mut out, limit)?;
    Some(out)
}

fn flush_run(run: &mut Vec<Node>, out: &mut Vec<Node>, limit: usize) -> Option<()> {
    if run.len() < 2 {
        out.append(run);
        return Some(());
    }
    let spellings = spellings(&Node::Sequence(std::mem::take(run)), limit)?;
    out.push(Node::Choice(
        spellings.into_iter().map(Node::Text).collect(),
    ));
    Some(())
}

/// Cuts texts at their spaces.
fn pieces(parts: &[Node]) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut is_glued = false;
    for part in parts {
        let Node::Text(text) = part else {
            out.push(Piece {
                node: part.clone(),
                is_glued,
            });
            is_glued = true;
            continue;
        };
        let mut word_is_glued = is_glued && !text.starts_with(char::is_whitespace);
        for word in text.split_whitespace() {
            out.push(Piece {
                node: Node::Text(word.to_owned()),
                is_glued: word_is_glued,
            });
            word_is_glued = false;
        }
        is_glued = !text.ends_with(char::is_whitespace);
    }
    out
}

/// Whether `node` is text only, so that its spellings can be listed.
fn is_plain(node: &Node) -> bool {
    match node {
        Node::Text(_) => true,
        Node::Sequence(parts) | Node::Choice(parts) => parts.iter().all(is_plain),
        Node::Optional(part) => is_plain(part),
        _ => false,
    }
}

/// All spellings of a plain node, or nothing when there are more than `limit`.
pub(super) fn spellings(node: &Node, limit: usize) -> Option<Vec<String>> {
    let all = match node {
        Node::Text(text) => vec![text.clone()],
        Node::Optional(part) => {
            let mut all = spellings(part, limit)?;
            all.push(String::new());
            all
        }
        Node::Choice(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(spellings(part, limit)?);
            }
            all
        }
        Node::Sequence(parts) => {
            let mut all = vec![String::new()];
            for part in parts {
                let ends = spellings(part, limit)?;
                if all.len() * ends.len() > limit {
                    return None;
                }
                all = all
                    .iter()
                    .flat_map(|head| ends.iter().map(move |end| format!("{head}{end}")))
                    .collect();
            }
            all
        }
        _ => return None,
    };
    (all.len() <= limit).then_some(all)
}
