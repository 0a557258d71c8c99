"""Serve models with the code of AWS's inference toolkits, which the containers of AWS's images run.

    serve.py <listener> <toolkit> <model>     serves one model
    serve.py                                  loads a model for each line of its input, and prints its answer to {}

Run by the interpreter of .oracles, which has the published toolkits. They find the model's code, import it and call its
functions. Left out, since it is not in the toolkits or cannot run here:

- the model servers (Multi Model Server, TorchServe, gunicorn), which start a worker with the path that the toolkit has
  set and call its handler,
- the frameworks: empty modules take the place of PyTorch, MXNet and Transformers, which the toolkits import for the
  default functions of models without code,
- the installation of the code and its requirements with pip, which would change the environment. The directory of the
  code is on the path all the same.
"""

import collections
import collections.abc
import importlib
import json
import os
import shutil
import socket
import sys
import threading
import traceback
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OPT_ML_MODEL, SUBMITTED = "/opt/ml/model", "SAGEMAKER_SUBMIT_DIRECTORY"
SERVICES = {
    "pytorch": "sagemaker_pytorch_serving_container.handler_service",
    "mxnet": "sagemaker_mxnet_serving_container.handler_service",
    "huggingface": "sagemaker_huggingface_inference_toolkit.handler_service",
}
# The toolkits compute with them. A process that serves several models imports them once.
COMMON = ("numpy", "scipy.sparse", "boto3", "flask", "pkg_resources")


def stand_in(name: str, **members: Any) -> None:
    """Put a module in the place of one that is not installed."""
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def without_frameworks() -> None:
    """Put empty modules in the place of the frameworks and of the model server."""
    stand_in("torch", cuda=types.SimpleNamespace(is_available=lambda: False))
    stand_in("mxnet", module=types.SimpleNamespace(BaseModule=type("BaseModule", (), {})))
    stand_in("mxnet.gluon", block=types.SimpleNamespace(Block=type("Block", (), {})))
    stand_in("transformers", AutoTokenizer=None, pipeline=None)
    stand_in("transformers.file_utils", is_tf_available=lambda: False, is_torch_available=lambda: True)
    stand_in("transformers.pipelines", Pipeline=None, SUPPORTED_TASKS={})
    stand_in("transformers.utils")
    stand_in("transformers.utils.import_utils", is_torch_bf16_gpu_available=lambda: False)
    stand_in("huggingface_hub", HfApi=None, login=None, snapshot_download=None)
    stand_in("PIL", Image=None)
    stand_in("mms")
    stand_in("mms.service", PredictionException=type("PredictionException", (Exception,), {}))


class Context:
    """The context of a request, as the model servers give it to a handler."""

    def __init__(self, model_dir: str, headers: dict[str, str]) -> None:
        self.system_properties = {"model_dir": model_dir, "gpu_id": None, "batch_size": 1}
        self.request_processor = [types.SimpleNamespace(get_request_properties=lambda: headers)]
        self.metrics = types.SimpleNamespace(add_time=lambda *_: None)
        self.status, self.content_type = 200, "application/json"

    def set_response_status(self, code: int, phrase: str = "") -> None:
        """Set the status of the response."""
        self.status = code

    def set_response_content_type(self, _: int, value: str) -> None:
        """Set the content type of the response."""
        self.content_type = value


class OfModelServer:
    """The handler of a toolkit that is based on sagemaker-inference."""

    def __init__(self, toolkit: str, model_dir: str) -> None:
        without_frameworks()
        server: Any = importlib.import_module("sagemaker_inference.model_server")
        if toolkit == "pytorch":
            server = importlib.import_module("sagemaker_pytorch_serving_container.torchserve")
        server._set_python_path()
        # The path of the worker that the model server starts.
        sys.path[:0] = [each for each in os.environ["PYTHONPATH"].split(":") if each]
        module = importlib.import_module(SERVICES[toolkit])
        self.model_dir = model_dir
        self.service = module.HuggingFaceHandlerService() if toolkit == "huggingface" else module.HandlerService()
        self.service.initialize(Context(model_dir, {}))

    def respond(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        """Return the status, body and content type of the response."""
        context = Context(self.model_dir, headers)
        [response] = self.service.handle([{"body": body}], context)
        if isinstance(response, bytes | bytearray):
            return context.status, bytes(response), context.content_type
        text = response if isinstance(response, str) else json.dumps(response)
        return context.status, text.encode(), context.content_type


class OfContainers:
    """The application of sagemaker-containers, which scikit-learn and XGBoost use."""

    def __init__(self, model_dir: str, s3: dict[str, str]) -> None:
        # A name that Python has removed since the last release of sagemaker-containers.
        collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
        os.environ[SUBMITTED] = os.environ[SUBMITTED].replace(OPT_ML_MODEL, model_dir)
        # AWS's SDK for Python has other names for the variables of the region.
        os.environ["AWS_DEFAULT_REGION"] = os.environ["SAGEMAKER_REGION"]
        names = ("_env", "_files", "_modules", "_transformer", "_worker")
        found: list[Any] = [importlib.import_module(f"sagemaker_containers.{name}") for name in names]
        env, files, modules, transformer, worker = found
        serving = env.ServingEnv()
        modules.install = lambda *_: None
        if s3:
            files.s3_download = lambda uri, target: shutil.copy(s3[uri], target)
        sys.path.append(env.code_dir)
        user = modules.import_module(serving.module_dir, serving.module_name)
        functions = ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn")
        model = transformer.Transformer(**{name: getattr(user, name, None) for name in functions})
        model.initialize()
        self.client = worker.Worker(transform_fn=model.transform, module_name=serving.module_name).test_client()

    def respond(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        """Return the status, body and content type of the response."""
        response = self.client.post("/invocations", data=body, headers=headers)
        return response.status_code, response.data, response.content_type


def loaded(toolkit: str, model_dir: str, s3: dict[str, str]) -> Any:
    """Load the model, and return what responds to requests. `s3` has the path of a file for each URI, if not empty."""
    os.environ["SAGEMAKER_BASE_DIR"] = os.path.dirname(model_dir)  # instead of /opt/ml
    return OfContainers(model_dir, s3) if toolkit == "containers" else OfModelServer(toolkit, model_dir)


def end_with_parent() -> None:
    """Exit when standard input ends: the parent holds its other end."""
    while os.read(sys.stdin.fileno(), 1024):
        continue
    os._exit(0)


class Handler(BaseHTTPRequestHandler):
    """The handler of health checks and invocations, one at a time."""

    protocol_version = "HTTP/1.1"
    model: Any
    lock = threading.Lock()

    def do_GET(self) -> None:
        """Respond to a health check."""
        self.answer(200 if self.path == "/ping" else 404, b"", "text/plain")

    def do_POST(self) -> None:
        """Respond to an invocation."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.lock:
            try:
                answer = self.model.respond(body, dict(self.headers))
            except Exception as error:  # noqa: BLE001 - the model server turns any error into a response
                answer = 500, str(error).encode(), "text/plain"
        self.answer(*answer)

    def answer(self, status: int, body: bytes, content_type: str) -> None:
        """Send a response."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""


def serve(listener: int, toolkit: str, model_dir: str) -> None:
    """Load the model and serve it until the process is killed."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    Handler.model = loaded(toolkit, model_dir, {})
    print(f"The toolkit {toolkit} has loaded the model.", flush=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=listener)
    server.serve_forever()


def answer_all() -> None:
    """Load each model of the input in a process of its own, and print its answer or the error."""
    for name in COMMON:
        importlib.import_module(name)
    for line in sys.stdin:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            print(json.dumps(answer(**json.loads(line))), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


def answer(toolkit: str, model: str, environment: dict[str, str], s3: dict[str, str]) -> dict[str, Any]:
    """Return {"answer"} of a model to an empty object, or {"error"}."""
    os.environ.update(environment)
    try:
        status, body, _ = loaded(toolkit, model, s3).respond(b"{}", {"Content-Type": "application/json"})
    except Exception:  # noqa: BLE001 - any error of the toolkit
        return {"error": traceback.format_exc()}
    return {"answer": json.loads(body)} if status == 200 else {"error": body.decode()}


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
    else:
        answer_all()
