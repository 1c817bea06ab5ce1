//! Walks two sorted lists of names side by side. It compares names and nothing else.

use std::cmp::Ordering;

use crate::types::Name;

/// Which of the two lists the next name is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// In both: take one from each.
    Both,
    /// In the source only: take it from there.
    SourceOnly,
    /// In the destination only: take it from there.
    DestOnly,
    /// Both lists are at their end.
    End,
}

/// The merge of two lists of names, each strictly increasing by bytes.
pub struct Merge;

impl Merge {
    /// What comes next, given the next name of each list, `None` at its end.
    #[must_use]
    pub fn step(source: Option<&Name>, dest: Option<&Name>) -> Step {
        match (source, dest) {
            (None, None) => Step::End,
            (Some(_), None) => Step::SourceOnly,
            (None, Some(_)) => Step::DestOnly,
            (Some(source), Some(dest)) => match source.cmp(dest) {
                Ordering::Less => Step::SourceOnly,
                Ordering::Equal => Step::Both,
                Ordering::Greater => Step::DestOnly,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The merge of two lists of one-letter names, a letter a step.
    fn merged(source: &str, dest: &str) -> String {
        let names = |text: &str| text.bytes().map(|b| Name::new(&[b]).unwrap()).collect::<Vec<_>>();
        let (source, dest) = (names(source), names(dest));
        let (mut from, mut to, mut steps) = (source.iter().peekable(), dest.iter().peekable(), String::new());
        loop {
            match Merge::step(from.peek().copied(), to.peek().copied()) {
                Step::End => return steps,
                Step::SourceOnly => steps.push_str(&format!("+{}", from.next().unwrap())),
                Step::DestOnly => steps.push_str(&format!("-{}", to.next().unwrap())),
                Step::Both => {
                    to.next();
                    steps.push_str(&format!("={}", from.next().unwrap()));
                }
            }
        }
    }

    #[test]
    fn each_name_comes_once_and_in_order() {
        assert_eq!(merged("ace", "bcd"), "+a-b=c-d+e");
        assert_eq!(merged("", "ab"), "-a-b");
        assert_eq!(merged("ab", ""), "+a+b");
        assert_eq!(merged("", ""), "");
    }

    #[test]
    fn names_are_ordered_by_bytes_not_by_letters() {
        assert_eq!(merged("Ba", "Aa"), "-A+B=a");
        let (high, low) = (Name::new(b"\xff").unwrap(), Name::new("é".as_bytes()).unwrap());
        assert_eq!(Merge::step(Some(&high), Some(&low)), Step::DestOnly);
    }
}
