//! A batch of a thousand files, written to the wire and read back, without extended attributes and with a label each, as a
//! machine with SELinux has them.

use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ferry_engine::types::{
    BatchId, Content, DirId, Entry, FileContent, Mode, Name, NameError, Owner, Timestamp, Xattr, Xattrs,
};
use ferry_engine::wire::{Batch, Frame, ListEnd, Message, PREFIX_LEN};

const ENTRIES: u32 = 1_000;
const LABEL: &[u8] = b"system_u:object_r:container_file_t:s0:c12,c34";

/// # Errors
/// When a batch does not come back from the wire: there would be nothing to measure.
pub fn measure(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let label = Xattr { name: b"security.selinux"[..].into(), value: LABEL.into() };
    let labelled = Xattrs::new(vec![label]).ok_or("a label is refused")?;
    let mut group = criterion.benchmark_group("batch of 1000 entries");
    group.throughput(Throughput::Elements(ENTRIES.into()));
    for (name, xattrs) in [("plain", Xattrs::default()), ("labelled", labelled)] {
        let message = Message::Batch(batch(&xattrs)?);
        let frame = Frame::new(message.encode().split_off(PREFIX_LEN))?;
        Message::decode(&frame)?;
        group.bench_function(format!("encode, {name}"), |bencher| bencher.iter(|| black_box(&message).encode()));
        group.bench_function(format!("decode, {name}"), |bencher| bencher.iter(|| Message::decode(black_box(&frame))));
    }
    group.finish();
    Ok(())
}

/// Files with names, sizes and times of their own, one owner and one mode.
fn batch(xattrs: &Xattrs) -> Result<Batch, Box<dyn Error>> {
    let (mode, owner) = (Mode::from_st_mode(0o644), Owner::new(1_000, 1_000).ok_or("an owner is refused")?);
    let entry = |number: u32| -> Result<Entry, NameError> {
        Ok(Entry {
            name: Name::new(format!("file-{number:04}").as_bytes())?,
            mode,
            owner,
            mtime: Timestamp::new(1_700_000_000, number.wrapping_mul(7_919) % 1_000_000_000).unwrap_or_default(),
            xattrs: xattrs.clone(),
            link: None,
            content: Content::File(FileContent { size: u64::from(number) * 13 % 9_000 }),
        })
    };
    let entries = (0..ENTRIES).map(entry).collect::<Result<_, _>>()?;
    Ok(Batch { id: BatchId(1), dir: DirId(2), end: ListEnd::Complete, unlooked: Vec::new(), entries })
}
