// Put into the page before its own script: hears whatever is connected to the speakers, for tests to ask about.
(() => {
  const connect = AudioNode.prototype.connect;
  const heard = (window.heard = { blocks: [], recording: false });
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && target.context instanceof AudioContext) void listen(this);
    return connect.call(this, target, ...rest);
  };

  async function listen(source) {
    const context = source.context;
    const analyser = new AnalyserNode(context, { fftSize: 4096 });
    connect.call(source, analyser);
    Object.assign(heard, { context, analyser, recorder: null });
    // The test serves this file; in the sound's own thread nothing is missed, however busy the machine is.
    await context.audioWorklet.addModule("/static/recorder.js");
    const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    connect.call(source, recorder);
    recorder.port.onmessage = ({ data }) => heard.recording && heard.blocks.push(data);
    heard.recorder = recorder;
  }

  /** The loudest sample of the last tenth of a second. */
  heard.level = () => {
    if (!heard.recorder) return 0;
    const samples = new Float32Array(heard.analyser.fftSize);
    heard.analyser.getFloatTimeDomainData(samples);
    return samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  };

  /** Records so many seconds; returns the first channel's samples, and when the first of them sounded. */
  heard.record = async (seconds) => {
    heard.blocks = [];
    heard.recording = true;
    const wanted = seconds * heard.context.sampleRate;
    while (heard.blocks.length * 128 < wanted) await new Promise((resolve) => setTimeout(resolve, 50));
    heard.recording = false;
    return { samples: heard.blocks.flatMap((block) => Array.from(block.samples)), at: heard.blocks[0].at };
  };
})();
