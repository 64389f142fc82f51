// Put into the page before its own script: hears whatever is connected to the speakers, for tests to ask about.
(() => {
  const connect = AudioNode.prototype.connect;
  const heard = (window.heard = { blocks: [], recording: false, contexts: 0 });
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && target.context instanceof AudioContext) listen(this, target);
    return connect.call(this, target, ...rest);
  };

  function listen(source, speakers) {
    const context = source.context;
    const analyser = new AnalyserNode(context, { fftSize: 4096 });
    connect.call(source, analyser);
    // Old-fashioned, but a worklet's module would have to be let through the page's policy.
    const recorder = context.createScriptProcessor(4096, 2, 2);
    connect.call(source, recorder);
    connect.call(recorder, speakers);
    recorder.onaudioprocess = (event) => {
      if (!heard.recording) return;
      heard.blocks.push({ at: event.playbackTime, samples: Array.from(event.inputBuffer.getChannelData(0)) });
    };
    Object.assign(heard, { context, analyser, contexts: heard.contexts + 1 });
  }

  /** The loudest sample of the last tenth of a second. */
  heard.level = () => {
    if (!heard.analyser) return 0;
    const samples = new Float32Array(heard.analyser.fftSize);
    heard.analyser.getFloatTimeDomainData(samples);
    return samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  };

  /** Records for some seconds; returns the samples of the first channel, and whether there is no gap in them. */
  heard.record = async (seconds) => {
    heard.blocks = [];
    heard.recording = true;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    heard.recording = false;
    const step = 4096 / heard.context.sampleRate;
    const whole = heard.blocks.every(({ at }, i) => i === 0 || Math.abs(at - heard.blocks[i - 1].at - step) < 1e-3);
    return { samples: heard.blocks.flatMap((block) => block.samples), whole, rate: heard.context.sampleRate };
  };
})();
