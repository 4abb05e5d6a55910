//! Indexes of blocks that no writer makes: every checksum is right, and a few thousand bytes refer to each other so often that a reader
//! that believes them runs out of memory.

/// Bytes of the index before its first section.
const HEADER: [u8; 5] = [0xba, 0xaa, 0xd7, 0, 2];

fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    put_uvarint(out, text.len());
    out.extend_from_slice(text);
}

fn put_summed(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(content);
    out.extend_from_slice(&crc_fast::crc32_iscsi(content).to_be_bytes());
}

/// A section or list with its length in 32 bits before it.
fn put_section(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    put_summed(out, content);
}

/// An index of one series with these symbols and labels, and of one list of `ids`, which the table names once for all series and once
/// for each of `values` of the label `a`.
fn index(symbols: &[&[u8]], labels: &[[u8; 2]], ids: impl Fn(u32) -> Vec<u32>, values: &[Vec<u8>]) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    let symbols_at = out.len();
    let mut content = (symbols.len() as u32).to_be_bytes().to_vec();
    symbols.iter().for_each(|symbol| put_string(&mut content, symbol));
    put_section(&mut out, &content);

    let series_at = out.len();
    out.resize(series_at.next_multiple_of(16), 0);
    let id = out.len() as u32 / 16;
    let mut content = Vec::new();
    put_uvarint(&mut content, labels.len());
    content.extend_from_slice(labels.as_flattened());
    content.push(0);
    put_uvarint(&mut out, content.len());
    put_summed(&mut out, &content);

    let postings_at = out.len();
    out.resize(postings_at.next_multiple_of(4), 0);
    let list_at = out.len();
    let ids = ids(id);
    let mut content = (ids.len() as u32).to_be_bytes().to_vec();
    content.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
    put_section(&mut out, &content);

    let table_at = out.len();
    let mut content = (values.len() as u32 + 1).to_be_bytes().to_vec();
    let pairs = values.iter().map(|value| (&b"a"[..], value.as_slice()));
    for (name, value) in std::iter::once((&b""[..], &b""[..])).chain(pairs) {
        content.push(2);
        put_string(&mut content, name);
        put_string(&mut content, value);
        put_uvarint(&mut content, list_at);
    }
    put_section(&mut out, &content);
    // Label indices, which nobody writes any more, have places in the contents.
    let contents = [symbols_at, series_at, postings_at, table_at, postings_at, table_at];
    let contents: Vec<u8> = contents
        .iter()
        .flat_map(|offset| (*offset as u64).to_be_bytes())
        .collect();
    put_summed(&mut out, &contents);
    out
}

/// One series names one long symbol thousands of times: 90 KB that would be 900 MB of labels.
pub(crate) fn many_labels() -> Vec<u8> {
    index(&[b"a", &[b'b'; 30_000]], &[[0, 1]; 30_000], |id| vec![id], &[])
}

/// Thousands of label values share one long list of series: 200 KB that would be 600 MB of lists.
pub(crate) fn many_lists() -> Vec<u8> {
    let values: Vec<Vec<u8>> = (0..12_000).map(|number| format!("{number:05}").into_bytes()).collect();
    index(&[b"a", b"b"], &[[0, 1]], |id| (id..id + 12_000).collect(), &values)
}
