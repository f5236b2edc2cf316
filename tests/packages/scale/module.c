#define Py_LIMITED_API 0x030A0000
#include <Python.h>

#ifdef WITH_CUDA
int launch_scale(float *values, float factor);

/* Called so that the linker keeps the kernel; without a GPU it gives an error code. */
static PyObject *launch(PyObject *self, PyObject *ignored) { return PyLong_FromLong(launch_scale(NULL, 2.0f)); }
#else
static PyObject *launch(PyObject *self, PyObject *ignored) { Py_RETURN_NONE; }
#endif

static PyMethodDef methods[] = {
    {"launch", launch, METH_NOARGS, "Launch the kernel; gives CUDA's error code, or None where there is no kernel."},
    {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "scale", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_scale(void) { return PyModule_Create(&module); }
