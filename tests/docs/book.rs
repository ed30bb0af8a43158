//! Every page is in the book's contents, and every link inside the documentation leads to a page and a heading that is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::docs;

fn pages_in(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages_in(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    pages_in(&docs(), &mut pages);
    pages
}

/// Where the links of a page lead, and the names of its headings as mdBook makes them.
fn links_and_headings(page: &Path) -> (Vec<String>, BTreeSet<String>) {
    let text = fs::read_to_string(page).unwrap();
    let (mut links, mut headings, mut heading) = (Vec::new(), BTreeSet::new(), None::<String>);
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => links.push(dest_url.into_string()),
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => headings.extend(heading.take().map(|text| name(&text))),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    (links, headings)
}

fn name(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == '_' || *c == '-' || c.is_whitespace());
    kept.map(|c| if c.is_whitespace() { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_page_is_in_the_contents() {
    let contents = docs().join("SUMMARY.md");
    let listed: BTreeSet<PathBuf> = links_and_headings(&contents).0.into_iter().map(|link| docs().join(link)).collect();
    let missing: Vec<_> = pages().into_iter().filter(|page| *page != contents && !listed.contains(page)).collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn every_link_leads_somewhere() {
    let readme = docs().join("../README.md");
    for page in pages().into_iter().chain([readme]) {
        let (links, own) = links_and_headings(&page);
        for link in links.iter().filter(|link| !link.contains("://")) {
            let (file, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            let Some(anchor) = anchor else { continue };
            let headings = if file.is_empty() { own.clone() } else { links_and_headings(&target).1 };
            assert!(
                headings.contains(anchor),
                "{}: {link}: there is no such heading, but {headings:?}",
                page.display()
            );
        }
    }
}
