"""The recordings of the sample study: the rig, what it recorded, and what was shown."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial

from ndicloudfs.sandbox import sample_payloads as payloads
from ndicloudfs.sandbox.sample_bodies import INFINITY, NAN, Json, openminds
from ndicloudfs.sandbox.sample_writer import SUBJECTS, Entry, Named, Writer, id_of

EPOCHS = ("t00001", "t00002")
RATE = 20_000


def rig(writer: Writer) -> Generator[Entry, None, tuple[str, str]]:
    """The devices; gives the ndi ids of the daqreader and of the probe."""
    navigator = writer.document(
        "daq/filenavigator",
        {
            "filenavigator": {
                "ndi_filenavigator_class": "ndi.file.navigator",
                "fileparameters": "{ 'reference.txt', '.*\\.rhd\\>' }",
                "epochprobemap_class": "ndi.epoch.epochprobemap_daqsystem",
                "epochprobemap_fileparameters": "{ '.*\\.epochprobemap.txt\\>' }",
            }
        },
    )
    reader = writer.document(
        "daq/daqreader", {"daqreader": {"ndi_daqreader_class": "ndi.daq.reader.mfdaq.intan"}}
    )
    navigator_id, reader_id = id_of(navigator), id_of(reader)
    yield navigator
    yield reader
    yield writer.document(
        "daq/daqsystem",
        {"daqsystem": {"ndi_daqsystem_class": "ndi.daq.system.mfdaq"}},
        [("filenavigator_id", navigator_id), ("daqreader_id", reader_id)],
        name="intan1",
    )
    for epoch in EPOCHS:
        yield writer.document(
            "ingestion/epochfiles_ingested",
            {
                "epochfiles_ingested": {
                    "epoch_id": epoch,
                    "epochprobemap": "name\treference\ttype\tdevicestring\tsubjectstring\n"
                    f"ctx\t1\tn-trode\tintan1:ai1-4\t{SUBJECTS[0]}\n",
                    "files": [f"epochid://{epoch}", f"{epoch}/amplifier data.rhd"],
                }
            },
            [("filenavigator_id", navigator_id)],
            bare=True,
        )
    graph = writer.document(
        "daq/syncgraph", {"syncgraph": {"ndi_syncgraph_class": "ndi.time.syncgraph"}}
    )
    rule = writer.document(
        "daq/syncrule",
        {
            "syncrule": {
                "ndi_syncrule_class": "ndi.time.syncrule.filematch",
                "parameters": {"number_fullpath_matches": 2},
            }
        },
    )
    yield graph
    yield rule
    yield writer.document(
        "ingestion/syncrule_mapping",
        {
            "files": {"file_list": []},
            "syncrule_mapping": {
                "cost": 1,
                "mapping": [1, 0],
                "epochnode_a": _epoch_node(writer, EPOCHS[0], "intan1"),
                "epochnode_b": _epoch_node(writer, EPOCHS[0], "vhvis_spike2"),
            },
        },
        [("syncgraph_id", id_of(graph)), ("syncrule_id", id_of(rule))],
    )
    probe = writer.element("ctx", "n-trode", direct=0)
    yield probe
    location = {"name": "primary visual cortex", "ontology_name": "UBERON:0002436"}
    yield writer.document(
        "probe/probe_location",
        {"probe_location": location},
        [("probe_id", id_of(probe))],
        bare=True,
    )
    return reader_id, id_of(probe)


def recordings(writer: Writer, daqreader: str, probe: str) -> Iterator[Entry]:
    """What the probe recorded: raw, and as epochs of the probe and of a neuron."""
    for number, epoch in enumerate(EPOCHS, 1):
        segments: list[Named] = [
            (
                f"ai_group1_seg.nbf_{part}",
                partial(_segment, f"ai_group1_seg_{part}", 400 * number * part),
            )
            for part in range(1, 4 if number == 1 else 2)
        ]
        channels = "".join(f"ai{n}\tanalog_in\t{RATE}\t1\n" for n in range(1, 5))
        yield writer.document(
            "ingestion/daqreader_mfdaq_epochdata_ingested",
            {
                "daqreader_epochdata_ingested": {
                    "epochtable": {
                        "channels": [],
                        "epochclock": ["dev_local_time"],
                        "t0_t1": [[0, 3.9]],
                    }
                },
                "daqreader_mfdaq_epochdata_ingested": {
                    "parameters": {
                        "sample_analog_segment": 1_000_000,
                        "sample_digital_segment": 1_000_000,
                    }
                },
                "epochid": {"epochid": epoch},
            },
            [("daqreader_id", daqreader)],
            supers=("ingestion/daqreader_epochdata_ingested", "epochid"),
            named=[("channel_list.bin", channels.encode), *segments],
            allowed=["channel_list.bin", "ai_group1_seg.nbf_#", "evmktx_group1_seg.nbf_#"],
        )
    yield writer.document(
        "ingestion/daqmetadatareader_epochdata_ingested",
        {"epochid": {"epochid": EPOCHS[0]}, "daqmetadatareader_epochdata_ingested": {}},
        [("daqmetadatareader_id", daqreader)],
        supers=("epochid",),
        named=[("data.bin", partial(_segment, "data", 64))],
        bare=True,
    )
    neuron = writer.element("ctx_1 unit #2", "spikes", direct=0, underlying=probe)
    yield neuron
    yield writer.document(
        "neuron/neuron_extracellular",
        {
            "neuron_extracellular": {
                "cluster_index": 2,
                "mean_waveform": [[0, -0.21, -0.74, 0.18, 0.02]],
                "number_of_channels": 1,
                "number_of_samples_per_channel": 5,
                "quality_label": "good",
                "quality_number": 2,
                "waveform_sample_times": [-0.1, 0, 0.1, 0.2, INFINITY],
            }
        },
        [("element_id", id_of(neuron)), ("spike_clusters_id", "")],
    )
    for index, element in enumerate((probe, id_of(neuron))):
        for number, epoch in enumerate(EPOCHS, 1):
            make = partial(_epoch_samples, 60 * number + 20 * index, 20_000 * number)
            yield writer.document(
                "element_epoch",
                {
                    "element_epoch": {"epoch_clock": "dev_local_time", "t0_t1": [0, number]},
                    "epochid": {"epochid": epoch},
                },
                [("element_id", element)],
                supers=("epochid",),
                named=[("epoch_binary_data.vhsb", make)],
                bare=number == 2,
            )


def stimuli(writer: Writer, probe: str) -> Iterator[Entry]:
    """What was shown, and how the probe's signal followed it."""
    stimulator = writer.element("visual stimulus", "stimulator", direct=1)
    yield stimulator
    presentation = {
        "presentation_order": [1, 2, 3, 2, 1, 3],
        "stimuli": [
            {"parameters": {"angle": angle, "contrast": 0.5, "isblank": 0, "sFrequency": 0.08}}
            for angle in (0, 45, 90)
        ],
    }
    shown = writer.document(
        "stimulus/stimulus_presentation",
        {"epochid": {"epochid": EPOCHS[0]}, "stimulus_presentation": presentation},
        [("stimulus_element_id", id_of(stimulator))],
        supers=("epochid",),
        named=[("presentation_time.bin", partial(payloads.noise, "presentation", 1_536))],
        bare=True,
    )
    yield shown
    for angle in (0, 45, 90):
        fields = {"description": f"drifting grating, {angle}°", "name": f"grating {angle}°"}
        yield writer.document(
            "metadata/openminds_stimulus",
            {
                "epochid": {"epochid": EPOCHS[0]},
                "openminds": openminds("VisualStimulus", "stimulation", fields),
                "openminds_stimulus": {},
            },
            [("stimulus_element_id", id_of(stimulator)), ("openminds", "")],
            supers=("epochid", "metadata/openminds"),
        )
    yield writer.document(
        "stimulus/stimulus_response_scalar",
        {
            "stimulus_response_scalar": {
                "response_type": "mean",
                "responses": {
                    "stimid": [1, 2, 3],
                    "response_real": [4.25, NAN, 11.5],
                    "response_imaginary": [0, 0, 0],
                    "control_response_real": [NAN, NAN, NAN],
                },
            }
        },
        [("element_id", probe), ("stimulus_presentation_id", id_of(shown))],
    )


def _epoch_node(writer: Writer, epoch: str, device: str) -> Json:
    return {
        "epoch_clock": "dev_local_time",
        "epoch_id": epoch,
        "epoch_session_id": writer.session,
        "epochprobemap": "",
        "objectclass": "ndi.daq.system.mfdaq",
        "objectname": device,
        "t0_t1": [0, 3.9],
    }


def _segment(name: str, period: int) -> bytes:
    return payloads.recording_segment(name, payloads.wave_samples(period, 12_000, 40_000))


def _epoch_samples(period: int, count: int) -> bytes:
    return payloads.vhsb(payloads.wave_samples(period, 9_000, count), RATE)
