use super::*;

fn file(name: &str) -> String {
    record::file_name(Kind::Client, name)
}

fn json(bytes: usize) -> ByteString {
    ByteString(vec![b'x'; bytes])
}

fn empty(count: usize) -> Layout {
    Layout::new(vec![Data::new(); count], count)
}

fn put(layout: &mut Layout, name: &str, bytes: usize) -> Result<Vec<u8>, Refusal> {
    let seen = layout.get(&file(name)).map(|(_, json)| version(json));
    layout.apply(Change::Put { file: file(name), json: json(bytes), seen })
}

fn place(layout: &Layout, name: &str) -> Option<u8> {
    layout.get(&file(name)).map(|(index, _)| index)
}

/// Carries out what has to be written, as `Bundles` does, and returns the files that each write named.
fn write(layout: &mut Layout) -> Vec<(u8, Vec<String>)> {
    let (edits, moves) = layout.take_edits();
    let mut written: Vec<_> = edits.into_iter().map(|(index, edit)| (index, edit.into_keys().collect())).collect();
    for done in moves {
        written.extend([(done.to, vec![done.file.clone()]), (done.from, vec![done.file.clone()])]);
        layout.moved(done);
    }
    written
}

const QUARTER: usize = bundle::MAX_BYTES / 4;

#[test]
fn records_stay_and_what_goes_leaves_room() {
    let mut layout = empty(3);
    for name in ["a", "b", "c", "d", "e"] {
        put(&mut layout, name, QUARTER).unwrap();
    }
    let places = |layout: &Layout| ["a", "b", "c", "d", "e"].map(|name| place(layout, name));
    assert_eq!(places(&layout), [Some(0), Some(0), Some(0), Some(1), Some(1)]);
    write(&mut layout);
    let seen = version(&json(QUARTER));
    assert_eq!(layout.apply(Change::Remove { file: file("a"), seen }), Ok(vec![0]));
    assert_eq!(write(&mut layout), [(0, vec![file("a")])], "nothing else is written");
    assert_eq!(places(&layout), [None, Some(0), Some(0), Some(1), Some(1)]);
    assert_eq!(put(&mut layout, "f", QUARTER), Ok(vec![0]), "the room is used again");
}

#[test]
fn a_record_grows_in_its_place_and_moves_when_it_must() {
    let mut layout = empty(2);
    for name in ["a", "b", "c"] {
        put(&mut layout, name, QUARTER).unwrap();
    }
    assert_eq!(put(&mut layout, "b", QUARTER + SPARE), Ok(vec![0]));
    write(&mut layout);
    assert_eq!(put(&mut layout, "c", 2 * QUARTER), Ok(vec![0, 1]));
    assert_eq!(put(&mut layout, "c", 7), Err(Refusal::Changed), "it is on its way");
    assert_eq!(write(&mut layout), [(1, vec![file("c")]), (0, vec![file("c")])], "the new place first");
    assert_eq!(["a", "b", "c"].map(|name| place(&layout, name)), [Some(0), Some(0), Some(1)]);
    assert!(write(&mut layout).is_empty());
    assert_eq!(put(&mut layout, "d", QUARTER), Ok(vec![0]));
}

#[test]
fn no_bundle_passes_its_bound() {
    let mut layout = empty(2);
    let mut taken = 0;
    while put(&mut layout, &format!("r{taken}"), 5_000).is_ok() {
        taken += 1;
    }
    assert_eq!(put(&mut layout, "last", 5_000), Err(Refusal::NoRoom));
    let bytes: Vec<_> = layout.bundles.iter().map(|bundle| bundle.bytes).collect();
    assert!(bytes.iter().all(|bytes| *bytes <= bundle::MAX_BYTES && *bytes > bundle::MAX_BYTES - 6_000), "{bytes:?}");
    for bundle in &layout.bundles {
        assert_eq!(bundle.bytes, bundle.data.iter().map(|(file, json)| size(file, json)).sum::<usize>());
    }
    assert_eq!(put(&mut layout, "r0", 15_000), Err(Refusal::NoRoom), "nor by growth");
    assert_eq!(put(&mut layout, "r0", 10), Ok(vec![0]));
}

#[test]
fn only_what_is_as_it_was_seen_is_changed() {
    let mut layout = empty(1);
    put(&mut layout, "a", 10).unwrap();
    let other = version(&json(11));
    for (what, change) in [
        ("made twice", Change::Put { file: file("a"), json: json(1), seen: None }),
        ("changed", Change::Put { file: file("a"), json: json(1), seen: Some(other.clone()) }),
        ("gone", Change::Put { file: file("b"), json: json(1), seen: Some(other.clone()) }),
        ("removed after a change", Change::Remove { file: file("a"), seen: other.clone() }),
        ("removed twice", Change::Remove { file: file("b"), seen: other }),
    ] {
        assert_eq!(layout.apply(change), Err(Refusal::Changed), "{what}");
    }
    assert_eq!(layout.get(&file("a")), Some((0, &json(10))));
}

#[test]
fn of_a_record_in_two_bundles_the_later_counts_and_the_other_goes() {
    let with = |bytes| Data::from([(file("a"), json(bytes))]);
    let mut layout = Layout::new(vec![with(1), Data::new(), with(2), with(3)], 4);
    assert_eq!(layout.get(&file("a")), Some((3, &json(3))));
    assert_eq!(write(&mut layout), [(0, vec![file("a")]), (2, vec![file("a")])]);
    assert_eq!(layout.get(&file("a")), Some((3, &json(3))));
}

#[test]
fn where_fewer_bundles_are_allowed_than_before_records_move() {
    let with = |names: &[&str]| names.iter().map(|name| (file(name), json(QUARTER))).collect::<Data>();
    let mut layout = Layout::new(vec![with(&["a", "b"]), with(&["c"]), with(&["d", "e"])], 2);
    assert_eq!(put(&mut layout, "d", 1), Err(Refusal::Changed), "it is on its way");
    assert_eq!(write(&mut layout).len(), 4);
    assert_eq!(["a", "b", "c", "d", "e"].map(|name| place(&layout, name)), [0, 0, 1, 0, 1].map(Some));
    let mut layout = Layout::new(vec![with(&["a", "b", "c"]), with(&["d", "e"])], 1);
    assert_eq!(write(&mut layout), []);
    assert_eq!(place(&layout, "e"), Some(1), "what finds no room is not lost");
}

#[test]
fn signing_keys_are_no_record_of_a_resource() {
    let keys = record::file_name(Kind::SigningKeys, record::SIGNING_KEYS_SECRET);
    let mut layout = Layout::new(vec![Data::from([(keys, json(1)), ("note.txt".into(), json(1))])], 1);
    assert!(!layout.has_records());
    put(&mut layout, "a", 1).unwrap();
    assert!(layout.has_records());
}
