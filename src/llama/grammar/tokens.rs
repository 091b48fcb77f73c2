//! A vocabulary as a tree of bytes: all tokens that begin alike are tried at once.
//!
//! The tree lies in flat arrays in the order of a walk, parents before children, so that walking it is counting up,
//! and leaving a branch out is a jump.

/// The tokens that a model can write, by their bytes. Marks without text are not among them.
#[derive(Debug, Default)]
pub struct Tokens {
    nodes: Vec<Node>,
    /// Places in `starts`, in the order of the nodes at which those tokens end.
    at_nodes: Vec<u32>,
    /// `(token, where its bytes begin)`, by token.
    starts: Vec<(u32, u32)>,
    bytes: Vec<u8>,
    deepest: usize,
}

/// A byte behind those of its parents.
#[derive(Clone, Copy, Debug)]
struct Node {
    byte: u8,
    /// Bytes up to this one.
    depth: u32,
    /// The node behind its last descendant.
    end: u32,
    /// Of `at_nodes`; up to the next node's.
    first: u32,
}

impl Tokens {
    /// The tree of `(token, its bytes)`. Tokens without bytes are left out; a token that comes again replaces
    /// the earlier one. Not more than 4 GiB of text are held, what is beyond is left out.
    pub fn new<B: AsRef<[u8]>>(vocabulary: impl IntoIterator<Item = (u32, B)>) -> Self {
        let mut tokens = Tokens::default();
        for (id, text) in vocabulary {
            let (text, start) = (text.as_ref(), tokens.bytes.len());
            if !text.is_empty() && start + text.len() < u32::MAX as usize {
                tokens.bytes.extend_from_slice(text);
                tokens.starts.push((id, start as u32));
            }
        }
        let n = tokens.bytes.len() as u32;
        let ends = tokens.starts.iter().skip(1).map(|(_, start)| *start);
        let ends: Vec<u32> = ends.chain([n]).collect();
        let starts = tokens.starts.iter().zip(ends);
        let mut all: Vec<(u32, u32, u32)> =
            starts.map(|(&(id, start), end)| (id, start, end)).collect();
        all.sort_by_key(|(id, start, _)| (*id, std::cmp::Reverse(*start)));
        all.dedup_by_key(|(id, _, _)| *id);
        tokens.keep(&all);
        tokens.grow();
        tokens
    }

    /// Lays out the texts of `(token, start, end)` anew, in this order.
    fn keep(&mut self, all: &[(u32, u32, u32)]) {
        let old = std::mem::take(&mut self.bytes);
        self.starts.clear();
        for &(id, start, end) in all {
            self.starts.push((id, self.bytes.len() as u32));
            self.bytes
                .extend_from_slice(&old[start as usize..end as usize]);
        }
        self.bytes.shrink_to_fit();
    }

    /// Makes the tree out of the texts.
    fn grow(&mut self) {
        let mut order: Vec<usize> = (0..self.starts.len()).collect();
        order.sort_by(|a, b| self.text(*a).cmp(self.text(*b)).then(a.cmp(b)));
        let mut nodes: Vec<Node> = Vec::new();
        // The nodes from the root to the last token.
        let mut path: Vec<usize> = Vec::new();
        for i in order {
            let text = self.text(i);
            let is_on_path = |(node, byte): &(&usize, &u8)| nodes[**node].byte == **byte;
            let n_shared = path.iter().zip(text).take_while(is_on_path).count();
            let end = nodes.len() as u32;
            for node in path.drain(n_shared..) {
                nodes[node].end = end;
            }
            for (depth, &byte) in (1..).zip(text).skip(n_shared) {
                path.push(nodes.len());
                nodes.push(Node {
                    byte,
                    depth,
                    end: 0,
                    first: self.at_nodes.len() as u32,
                });
            }
            self.deepest = self.deepest.max(path.len());
            self.at_nodes.push(i as u32);
        }
        let end = nodes.len() as u32;
        for node in path {
            nodes[node].end = end;
        }
        nodes.shrink_to_fit();
        self.nodes = nodes;
    }

    fn text(&self, i: usize) -> &[u8] {
        let start = self.starts[i].1 as usize;
        let end = self.starts.get(i + 1);
        let end = end.map_or(self.bytes.len(), |(_, start)| *start as usize);
        &self.bytes[start..end]
    }

    /// What a token says; nothing for those that are not held.
    pub fn token_bytes(&self, token: u32) -> &[u8] {
        let found = self.starts.binary_search_by_key(&token, |(id, _)| *id);
        found.map_or(&[], |i| self.text(i))
    }

    /// The tokens that are held, in ascending order.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.starts.iter().map(|(id, _)| *id)
    }

    /// How many tokens are held.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The tokens whose bits are set, in ascending order; [`walk`](Self::walk) numbers the bits.
    pub(super) fn of_bits(&self, bits: &[u64]) -> Vec<u32> {
        let n = bits.iter().map(|bits| bits.count_ones() as usize).sum();
        let mut out = Vec::with_capacity(n);
        for (starts, &bits) in self.starts.chunks(64).zip(bits) {
            let mut left = bits;
            while left != 0 {
                out.push(starts[left.trailing_zeros() as usize].0);
                left &= left - 1;
            }
        }
        out
    }

    /// Walks the tree with states, the first of which is `start`: `step` gives the one behind a byte, none where no
    /// text may go on so. Sets the bits of the tokens that can be read to their ends, as many as there are tokens,
    /// counted in their order. `path` is overwritten.
    pub(super) fn walk<S: Copy, E>(
        &self,
        start: S,
        path: &mut Vec<S>,
        bits: &mut Vec<u64>,
        mut step: impl FnMut(S, u8) -> Result<Option<S>, E>,
    ) -> Result<(), E> {
        bits.clear();
        bits.resize(self.starts.len().div_ceil(64), 0);
        path.clear();
        path.resize(self.deepest + 1, start);
        let mut i = 0;
        while let Some(node) = self.nodes.get(i) {
            let depth = node.depth as usize;
            let Some(state) = step(path[depth - 1], node.byte)? else {
                i = node.end as usize;
                continue;
            };
            path[depth] = state;
            i += 1;
            let end = self.nodes.get(i).map(|next| next.first as usize);
            let end = end.unwrap_or(self.at_nodes.len());
            for &at in &self.at_nodes[node.first as usize..end] {
                bits[at as usize / 64] |= 1 << (at % 64);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn walked(tokens: &Tokens, may: impl Fn(&[u8]) -> bool) -> Vec<u32> {
        // The state is the number of a text in `texts`.
        let mut texts: Vec<Vec<u8>> = vec![Vec::new()];
        let mut bits = Vec::new();
        let step = |state: usize, byte| {
            let text = [&texts[state][..], &[byte]].concat();
            let goes_on = may(&text);
            texts.push(text);
            Ok::<_, Infallible>(goes_on.then_some(texts.len() - 1))
        };
        tokens.walk(0, &mut Vec::new(), &mut bits, step).unwrap();
        tokens.of_bits(&bits)
    }

    #[test]
    fn a_walk_finds_what_may_be_read_and_leaves_branches_out() {
        let words = ["", "a", "ab", "abc", "b", "ba", "ab", "\u{e9}", "c"];
        let tokens = Tokens::new((0..).zip(words));
        assert_eq!(tokens.len(), 8);
        assert_eq!(walked(&tokens, |_| true), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(walked(&tokens, |text| text != b"ab"), [1, 4, 5, 7, 8]);
        assert_eq!(walked(&tokens, |text| text[0] == 0xc3), [7]);
        assert!(walked(&tokens, |_| false).is_empty());
    }

    #[test]
    fn texts_are_kept_by_token() {
        let tokens = Tokens::new([(9, "x"), (4_000_000_000, "y"), (2, ""), (9, "zz")]);
        assert_eq!(tokens.token_bytes(9), b"zz");
        assert_eq!(tokens.token_bytes(4_000_000_000), b"y");
        assert!(tokens.token_bytes(2).is_empty() && tokens.token_bytes(3).is_empty());
        assert_eq!(walked(&tokens, |_| true), [9, 4_000_000_000]);
        let none = Tokens::new::<&str>([]);
        assert!(none.is_empty() && walked(&none, |_| true).is_empty());
    }
}
