//! Rust source as tokens: what the text of a file really says, without its comments.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token that is not in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word(String),
    Text(String),
    Mark(char),
    Open(char),
    Close(char),
}

/// An attribute, in a test or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) line: usize,
    pub(super) words: Vec<String>,
}

impl Attribute {
    /// Whether it is `#[name…]`, directly or behind a condition.
    pub(super) fn is(&self, name: &str) -> bool {
        match self.words.first().map(String::as_str) {
            Some("cfg_attr") => self.words.iter().any(|word| word == name),
            first => first == Some(name),
        }
    }

    fn is_test(&self) -> bool {
        let has = |name: &str| self.words.iter().any(|word| word == name);
        match self.words.first().map(String::as_str) {
            Some("cfg") => has("test") && !has("not"),
            Some("cfg_attr") => false,
            // `#[test]`, `#[tokio::test]`
            _ => self.words.last().is_some_and(|word| word == "test"),
        }
    }
}

/// A source file, taken apart.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) tokens: Vec<Token>,
    pub(super) attributes: Vec<Attribute>,
}

impl Source {
    /// Takes a file apart; `None` if it is not Rust.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut source = Self::default();
        source.walk(text.parse().ok()?, Code::Shipped);
        Some(source)
    }

    /// The word at an index, if there is one.
    pub(super) fn word(&self, index: usize) -> Option<&str> {
        match self.tokens.get(index).map(|token| &token.kind) {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn walk(&mut self, stream: TokenStream, code: Code) {
        let mut trees = stream.into_iter().peekable();
        // Set by `#[cfg(test)]` and `#[test]` until the end of the item that follows.
        let mut item = code;
        while let Some(tree) = trees.next() {
            if let TokenTree::Punct(mark) = &tree
                && mark.as_char() == '#'
            {
                let inner =
                    trees.next_if(|next| matches!(next, TokenTree::Punct(mark) if mark.as_char() == '!'));
                if let Some(TokenTree::Group(group)) = trees.next_if(is_bracket) {
                    let line = group.span_open().start().line;
                    let mut words = Vec::new();
                    collect_words(group.stream(), &mut words);
                    let attribute = Attribute { line, words };
                    if attribute.is_test() {
                        item = Code::Test;
                    }
                    // What follows in the whole file or block is meant by an inner attribute.
                    let code_of_rest = if inner.is_some() { item } else { code };
                    // Comments are attributes by now; their words are nobody's code.
                    if !attribute.is("doc") {
                        self.walk(group.stream(), item);
                        self.attributes.push(attribute);
                    }
                    if inner.is_some() && code_of_rest == Code::Test {
                        return;
                    }
                    continue;
                }
            }
            let ends_item = match &tree {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                TokenTree::Punct(mark) => mark.as_char() == ';',
                _ => false,
            };
            self.add(tree, item);
            if ends_item {
                item = code;
            }
        }
    }

    fn add(&mut self, tree: TokenTree, code: Code) {
        let line = tree.span().start().line;
        let kind = match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => return self.walk(group.stream(), code),
                };
                self.push(line, Kind::Open(open), code);
                self.walk(group.stream(), code);
                return self.push(group.span_close().start().line, Kind::Close(close), code);
            }
            TokenTree::Ident(word) => Kind::Word(word.to_string()),
            TokenTree::Punct(mark) => Kind::Mark(mark.as_char()),
            TokenTree::Literal(literal) => Kind::Text(literal.to_string()),
        };
        self.push(line, kind, code);
    }

    fn push(&mut self, line: usize, kind: Kind, code: Code) {
        if code == Code::Shipped {
            self.tokens.push(Token { line, kind });
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    Shipped,
    Test,
}

fn is_bracket(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket)
}

fn collect_words(stream: TokenStream, words: &mut Vec<String>) {
    for tree in stream {
        match tree {
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Group(group) => collect_words(group.stream(), words),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_tests_are_left_out() {
        let source = Source::parse(
            "//! one\n/// two\nfn three() { four(\"five\") }\n#[cfg(test)]\nmod six { fn seven() {} }\n\
             #[tokio::test]\nasync fn eight() {}\n#[cfg(not(test))]\nfn nine() {}",
        )
        .unwrap();
        let words: Vec<_> = (0..source.tokens.len()).filter_map(|index| source.word(index)).collect();
        assert_eq!(words, ["fn", "three", "four", "cfg", "not", "test", "fn", "nine"]);
        assert_eq!(source.tokens.last().unwrap().line, 9);
    }

    #[test]
    fn attributes_are_seen_everywhere() {
        let source =
            Source::parse("#[cfg(test)]\nmod x {\n #[ignore]\n fn y() {}\n}\n#![cfg_attr(x, allow(y))]")
                .unwrap();
        let lines = |name: &str| -> Vec<usize> {
            source
                .attributes
                .iter()
                .filter(|attribute| attribute.is(name))
                .map(|attribute| attribute.line)
                .collect()
        };
        assert_eq!((lines("ignore"), lines("allow")), (vec![3], vec![6]));
    }
}
