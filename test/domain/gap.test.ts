import { test } from 'tap';
import { gapToMemory, gapToRecord, nextGeneration, type Sighting } from '../../src/domain/gap.ts';

const seen: Sighting = {
  system_identifier: '7',
  tables: '1/2',
  timeline: '00000001',
  position: 100n,
  last_event: 10n,
  beats: 5,
};

test('a database that is another, or older than what was seen of it, is a gap; one that went on is none', async (t) => {
  const older: [Partial<Sighting>, RegExp][] = [
    [{ system_identifier: '8' }, /another cluster/],
    [{ tables: '1/3' }, /dump/],
    [{ timeline: '00000002' }, /timeline/],
    [{ position: 99n }, /write-ahead log/],
    [{ last_event: 9n }, /last event went back from 10 to 9/],
    [{ beats: 4 }, /signs of life/],
  ];
  for (const [change, reason] of older) t.match(gapToMemory({ ...seen, ...change }, seen), reason);
  t.equal(gapToMemory({ ...seen, position: 101n, last_event: 11n, beats: 6 }, seen), null);
  t.equal(gapToMemory({ ...seen, beats: null }, seen), null, 'a process that was silent for long is forgotten');
  const unreadable = { system_identifier: null, timeline: null, position: null };
  t.equal(gapToMemory({ ...seen, ...unreadable }, seen), null, 'what can not be read tells nothing');
  t.equal(gapToRecord(seen, { ...seen, ...unreadable }), null);
});

test('a generation of before a gap never comes back', async (t) => {
  t.equal(nextGeneration(3, 0), 4);
  t.equal(nextGeneration(3, 28_000_000), 28_000_000);
  t.equal(nextGeneration(28_000_000, 28_000_000), 28_000_001);
});
