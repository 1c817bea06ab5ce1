//! The changes of a dry run, one line each on standard output: columns for people, JSON for programs.

use std::sync::Arc;

use serde_json::json;

use super::console::Console;
use super::flags::ProgressMode;
use crate::session::{Item, ItemChange, ItemSink};

/// A sink that prints; JSON when progress is JSON, so that a program reads one language.
#[must_use]
pub fn printer(console: &Arc<Console>, mode: ProgressMode) -> ItemSink {
    let console = Arc::clone(console);
    ItemSink::new(move |item| {
        let line = if mode == ProgressMode::Json { json_line(item) } else { plain_line(item) };
        // A reader that went away does not end the run.
        let _ = console.result(&line);
    })
}

fn plain_line(item: &Item) -> String {
    format!("{:<10} {:<16} {}", word(item.change), item.kind.word(), item.path)
}

fn json_line(item: &Item) -> String {
    json!({ "change": word(item.change), "kind": item.kind.word(), "path": item.path.to_string() }).to_string()
}

fn word(change: ItemChange) -> &'static str {
    match change {
        ItemChange::Create => "create",
        ItemChange::Update => "update",
        ItemChange::Attributes => "attributes",
        ItemChange::Delete => "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{EntryKind, RelPath};

    #[test]
    fn a_change_is_one_line_whatever_its_name_holds() {
        let path = RelPath::from_bytes(b"a\nb/\xff").unwrap();
        let item = Item { change: ItemChange::Delete, kind: EntryKind::Dir, path };
        assert_eq!(plain_line(&item), "delete     directory        a\\x0ab/\\xff");
        assert_eq!(json_line(&item), r#"{"change":"delete","kind":"directory","path":"a\\x0ab/\\xff"}"#);
    }
}
