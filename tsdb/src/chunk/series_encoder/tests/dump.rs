//! temporary
use super::*;
use std::fmt::Write;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use emberkeep_model::histogram::{Counts, Histogram};
fn text(h:&Histogram)->String{
    if h.is_stale(){ return format!("stale {}", h.is_float()); }
    let sp=|s:&[emberkeep_model::Span]| s.iter().map(|s|format!("{}:{}",s.offset,s.length)).collect::<Vec<_>>().join(",");
    let c=match &h.counts{
        Counts::Integer{count,zero_count,positive,negative}=>format!("i {count} {zero_count} [{}] [{}]",positive.iter().map(|x|x.to_string()).collect::<Vec<_>>().join(","),negative.iter().map(|x|x.to_string()).collect::<Vec<_>>().join(",")),
        Counts::Float{count,zero_count,positive,negative}=>format!("f {:x} {:x} [{}] [{}]",count.to_bits(),zero_count.to_bits(),positive.iter().map(|x|format!("{:x}",x.to_bits())).collect::<Vec<_>>().join(","),negative.iter().map(|x|format!("{:x}",x.to_bits())).collect::<Vec<_>>().join(",")),
    };
    format!("{} {:x} {} {:x} [{}] [{}] [{}] {}", h.schema, h.sum.to_bits(), h.reset_hint as u8, h.zero_threshold.to_bits(), sp(&h.positive_spans), sp(&h.negative_spans), h.custom_values.iter().map(|x|format!("{:x}",x.to_bits())).collect::<Vec<_>>().join(","), c)
}
#[test]
fn dump(){
    let mut runner=TestRunner::deterministic();
    let mut out=String::new();
    for n in 0..400 {
        let s=steps(250).new_tree(&mut runner).unwrap().current();
        let runs=series(&s, n%2==0);
        for chunk in encode(&[runs], n%4<2){
            if matches!(chunk.encoding, Encoding::Xor|Encoding::Xor2){continue}
            let hex:String=chunk.data.iter().map(|b|format!("{b:02x}")).collect();
            writeln!(out,"C {} {hex}",chunk.encoding as u8).unwrap();
            for row in decoded(&chunk).histograms.iter(){ writeln!(out,"S {} {} {}",row.timestamp,row.start_timestamp,text(&row.histogram())).unwrap(); }
        }
    }
    std::fs::write("/tmp/ek/cross/chunks.txt",out).unwrap();
}
