//! rsync's exclude patterns, held against rsync itself: for each pattern the same names arrive by both.

use std::collections::BTreeSet;
use std::path::Path;

use ferry_tests::called::{Called, stock};
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::Seed;
use ferry_tests::{Context, Result, bail, ensure};

/// Directories end with `/`.
const TREE: &[&str] = &[
    "foo",
    "bar/",
    "bar/foo",
    "bar/foo.txt",
    "bar/baz/",
    "bar/baz/foo/",
    "bar/baz/foo/deep",
    "foobar",
    "foo1/",
    "foo1/2/",
    "foo1/2/3bar",
    "foo1/bar",
    "x/",
    "x/foo/",
    "x/foo/bar",
    "x/foo/y/",
    "x/foo/y/bar",
    "x/foo/y/z/",
    "x/foo/y/z/bar",
    "a.tmp",
    "bar/a.tmp",
    "a.tmp.txt",
    "lost+found/",
    "lost+found/x",
    "bar/lost+found/",
    "50%_off",
    "{a,b}",
    "a",
    "b",
    "a*",
    "ab",
    "a\\b",
    "a\\",
    "[x]",
    "x]",
    "#x",
    "!x",
    "- x",
    "+ x",
    "; x",
    "x ",
    "x  ",
    "x\t",
    "é",
    "éx",
    "axc",
    "a-c",
    "a]c",
    "a^c",
    "a!c",
    "a\\c",
    "7x",
    "Zx",
    "-",
    "]",
    "^",
    ".hidden",
    "dir.d/",
    "dir.d/.hidden",
    "dir.d/dir.d/",
    "dir.d/dir.d/k",
    "new\nline",
    "x\u{a0}",
    "_x",
    "a{",
    "a}",
    "a?c",
    "deep/",
    "deep/er/",
    "deep/er/st/",
    "deep/er/st/foo",
    "deep/foo/",
    "deep/foo/bar",
];

const PATTERNS: &[&str] = &[
    "foo",
    "/foo",
    "foo/",
    "/foo/",
    "bar/foo",
    "/bar/foo",
    "bar/foo/",
    "baz/foo/deep",
    "x/foo/bar",
    "*",
    "/*",
    "*/",
    "*.tmp",
    "/*.tmp",
    "bar/*",
    "bar/*.tmp",
    "/bar/*/foo",
    "foo/*/bar",
    "foo/**/bar",
    "/x/foo/**/bar",
    "foo**",
    "foo**bar",
    "**foo",
    "**/foo",
    "/**/foo",
    "/**foo",
    "**/bar/**",
    "bar/**",
    "/bar/**",
    "bar/***",
    "/bar/***",
    "/***",
    "foo/***",
    "***",
    "bar***",
    "**",
    "deep/**/foo",
    "/deep/**",
    "deep/**/",
    "**/",
    "x/**/z/**",
    "lost+found",
    "/lost+found",
    "lost+found/",
    "50%_off",
    "{a,b}",
    "a{*",
    "a}*",
    "a\\b",
    "a\\\\b",
    "a\\\\b*",
    "a\\*",
    "a\\**",
    "a\\",
    "[x]",
    "\\[x]",
    "\\[x\\]",
    "x]",
    "[a]",
    "[ab]",
    "[a-b]x*",
    "a[!b]c",
    "a[^b]c",
    "a[]x]c",
    "a[x-]c",
    "a[\\]]c",
    "a[\\\\]c",
    "a[!]x]c",
    "a[+-9]c",
    "a[^^]c",
    "[[:digit:]]x",
    "[[:upper:]]x",
    "[[:alnum:]]x",
    "[![:alnum:]]x",
    "[[:punct:]]",
    "[[:digit:][:upper:]]x",
    "[]-]",
    "[^]-]",
    "?",
    "??",
    "???",
    "?x",
    "#x",
    "!x",
    "- x",
    "; x",
    "x ",
    "x  ",
    "x\t",
    "x?",
    "é",
    "é*",
    "?x*",
    ".*",
    ".hidden",
    "*.d",
    "dir.d/*",
    "dir.d/dir.d",
    "dir.d/**",
    "new\nline",
    "new*line",
    "new?line",
    "x\u{a0}",
    "_x",
    "-_x",
    "",
    "/",
    "//",
    "//foo",
    "bar//foo",
    "./foo",
    "a?c",
    "a\\?c",
    "foo/bar/..",
    "*o*b*",
    "**o**b**",
    "x/*/*/*/bar",
    "x/**/bar",
    "/x/*",
    "no such name",
];

fn plant(root: &Path) -> Result<()> {
    for name in TREE {
        match name.strip_suffix('/') {
            Some(dir) => std::fs::create_dir_all(root.join(dir))?,
            None => std::fs::write(root.join(name), "content")?,
        }
    }
    Ok(())
}

fn names(root: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        found.insert(entry?.path().strip_prefix(root)?.display().to_string());
    }
    Ok(found)
}

/// What one pattern leaves out, by both; `None` when ours refuses it, and nothing was copied then.
fn compared(scene: &Scene, called: &Called<'_>, source: &Path, pattern: &str) -> Result<Option<String>> {
    let (ours, theirs) = (scene.path("ours"), scene.path("theirs"));
    let option = format!("--exclude={pattern}");
    let real = stock(scene, &["-a", &option], source, &theirs)?;
    ensure!(real.exit == 0, "rsync ended with {} for {pattern:?}: {}", real.exit, real.stderr);
    let done = called.rsync(&["-a", &option], source, &ours)?;
    let followed = match done.exit {
        0 => Some((names(&ours)?, names(&theirs)?)),
        1 if !ours.exists() => None,
        other => bail!("{pattern:?} ended with {other}: {}", done.text()),
    };
    for copy in [ours, theirs].iter().filter(|copy| copy.exists()) {
        std::fs::remove_dir_all(copy)?;
    }
    Ok(followed.map(|(ours, theirs)| {
        let only =
            |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>();
        let (more, less) = (only(&ours, &theirs), only(&theirs, &ours));
        if more.is_empty() && less.is_empty() {
            String::new()
        } else {
            format!("{pattern:?}: only ours {more:?}, only rsync's {less:?}")
        }
    }))
}

#[test]
fn the_same_names_arrive_by_both_for_every_pattern() -> Result<()> {
    within(300, |scene| {
        let called = Called::new(scene)?;
        let source = scene.dir("source")?;
        plant(&source)?;
        let mut wrong = Vec::new();
        for pattern in PATTERNS {
            let difference = compared(scene, &called, &source, pattern)?;
            wrong.push(difference.unwrap_or_else(|| format!("{pattern:?} was refused")));
        }
        wrong.retain(|difference| !difference.is_empty());
        ensure!(wrong.is_empty(), "{} patterns differ:\n{}", wrong.len(), wrong.join("\n"));
        Ok(())
    })
}

/// What patterns are put together from.
const ATOMS: &[&str] = &[
    "a",
    "b",
    "a",
    "b",
    "/",
    "/",
    "*",
    "**",
    "***",
    "?",
    "[ab]",
    "[!a]",
    "[^b-]",
    "[]a]",
    "[[:alpha:]]",
    "[a-b]",
    "\\",
    "\\*",
    "\\a",
    ".",
    "-",
    "]",
    "{",
    "}",
    ",",
    "!",
    "#",
    " ",
    "^",
    "[",
];

#[test]
fn patterns_that_nobody_would_write_are_followed_exactly_or_refused() -> Result<()> {
    within(300, |scene| {
        let called = Called::new(scene)?;
        let source = scene.dir("source")?;
        plant(&source)?;
        for path in
            ["a-b", "a/b/a", "b/a/b", "a/a/b", "a/a]b/a", "b/{a}/b", "a /b", " a/a", "b/^/-", "b/ab/ba", "a/.a/b"]
        {
            let path = source.join("z").join(path);
            std::fs::create_dir_all(path.parent().context("no parent")?)?;
            std::fs::write(path, "content")?;
        }
        let mut seed = Seed::new(9_000);
        let (mut wrong, mut followed) = (Vec::new(), 0);
        for _ in 0..100 {
            let atoms = (0..=seed.below(5)).filter_map(|_| seed.pick(ATOMS).copied());
            let pattern: String = atoms.collect();
            if let Some(difference) = compared(scene, &called, &source, &pattern)? {
                followed += 1;
                wrong.push(difference);
            }
        }
        wrong.retain(|difference| !difference.is_empty());
        ensure!(wrong.is_empty(), "{} patterns differ:\n{}", wrong.len(), wrong.join("\n"));
        ensure!(followed > 60, "only {followed} patterns were followed");
        Ok(())
    })
}

#[test]
fn a_file_of_patterns_is_read_as_rsync_reads_it() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let source = scene.dir("source")?;
        plant(&source)?;
        let rules = scene.path("rules");
        std::fs::write(&rules, "# a comment\n; another\n\nfoo\n- *.tmp\r\n/bar/baz/\nx \n")?;
        let option = format!("--exclude-from={}", rules.display());
        let (ours, theirs) = (scene.path("ours"), scene.path("theirs"));
        ensure!(stock(scene, &["-a", &option], &source, &theirs)?.exit == 0, "rsync failed");
        let done = called.rsync(&["-a", &option], &source, &ours)?;
        ensure!(done.exit == 0, "{} {}", done.exit, done.text());
        ensure!(names(&ours)? == names(&theirs)?, "{:?} {:?}", names(&ours)?, names(&theirs)?);
        Ok(())
    })
}

#[test]
fn what_is_excluded_is_deleted_only_when_that_is_asked_for() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let source = scene.dir("source")?;
        plant(&source)?;
        for (options, stays) in
            [(&["-a", "--delete", "--exclude=foo"][..], true), (&["-a", "--delete-excluded", "--exclude=foo"], false)]
        {
            let mut both = Vec::new();
            for stocks in [true, false] {
                let destination = scene.fresh("destination", "");
                std::fs::create_dir_all(destination.join("bar"))?;
                std::fs::write(destination.join("bar/foo"), "old")?;
                std::fs::write(destination.join("extra"), "old")?;
                let done = if stocks {
                    stock(scene, options, &source, &destination)?
                } else {
                    called.rsync(options, &source, &destination)?
                };
                ensure!(done.exit == 0, "{options:?}: {} {}", done.exit, done.text());
                ensure!(destination.join("bar/foo").exists() == stays, "{options:?}, stock {stocks}");
                both.push(names(&destination)?);
            }
            ensure!(both[0] == both[1], "{options:?}: {both:?}");
        }
        Ok(())
    })
}

#[test]
fn rules_that_include_are_refused_before_anything_is_copied() -> Result<()> {
    within(60, |scene| {
        let called = Called::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        plant(&source)?;
        for option in ["--exclude=+ foo", "--include=foo", "--filter=- foo", "--exclude=a[b", "-C"] {
            let done = called.rsync(&["-a", option], &source, &destination)?;
            ensure!(done.exit == 1 && done.text().contains("(code 1)"), "{option}: {} {}", done.exit, done.text());
            ensure!(!destination.exists(), "{option}: something was copied");
        }
        Ok(())
    })
}
