// Runs in the sound's thread and hands every block of the first channel on.
class Recorder extends AudioWorkletProcessor {
  process([input]) {
    this.port.postMessage({ at: currentTime, samples: input[0]?.slice() ?? new Float32Array(128) });
    return true;
  }
}
registerProcessor("recorder", Recorder);
