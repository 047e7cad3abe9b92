/* Adam on the Rosenbrock function: the job of adamnb's compiled loop, written in C.
 *
 * Every iteration evaluates f and its gradient, checks that both are finite, takes max |g| for the stop test,
 * remembers the best point and its gradient, and does one step of Adam (Kingma & Ba, Algorithm 1). Nothing is
 * copied: the best point and its gradient keep the buffer they were computed in, and the step goes to a free one.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CONVERGED = 0, MAXITER = 1, NOT_FINITE = 3 };

static const double log_negligible = -39.143946580898; /* log(1e-17): 1 - beta^t is 1 to the last bit */

static double rosenbrock(ptrdiff_t n, const double *restrict x, double *restrict g)
{
    double f = 0.0, carry = 0.0;

    for (ptrdiff_t i = 0; i < n - 1; i++) {
        double a = x[i + 1] - x[i] * x[i];
        double b = 1.0 - x[i];
        f += 100.0 * a * a + b * b;
        g[i] = carry - 400.0 * a * x[i] - 2.0 * b;
        carry = 200.0 * a;
    }
    g[n - 1] = carry;
    return f;
}

/* The largest |g_i|; NaN or infinity if any g_i is. Without its sign bit a double orders as an integer, with
 * infinity and then NaN on top, and the maximum of integers vectorises where that of doubles does not. */
static double max_abs(ptrdiff_t n, const double *restrict g)
{
    int64_t top = 0;

    for (ptrdiff_t i = 0; i < n; i++) {
        int64_t bits;
        memcpy(&bits, &g[i], sizeof bits);
        bits &= INT64_MAX;
        top = bits > top ? bits : top;
    }
    double largest;
    memcpy(&largest, &top, sizeof largest);
    return largest;
}

static double bias_correction(double t, double log_beta)
{
    return t * log_beta < log_negligible ? 1.0 : -expm1(t * log_beta);
}

static void adam_step(ptrdiff_t n, const double *restrict x, double *restrict next, const double *restrict g,
                      double *restrict m, double *restrict v, double c1, double c2, double a, double s, double eps)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        m[i] += c1 * (g[i] - m[i]);
        v[i] += c2 * (g[i] * g[i] - v[i]);
        next[i] = x[i] - a * m[i] / (s * sqrt(v[i]) + eps);
    }
}

/* Minimise from x (n); x becomes the last point. work holds 6 n doubles: two more buffers for x, two for g, m and v.
 * Writes the best point to best_x, its value to best_f and the number of steps to nit; returns the status. */
int minimize(ptrdiff_t n, double *x, double *work, double *best_x, double *best_f, int64_t *nit, int64_t maxiter,
             double learning_rate, double beta1, double beta2, double eps, double gtol)
{
    double *xs[3] = {x, work, work + n};
    double *gs[2] = {work + 2 * n, work + 3 * n};
    double *m = work + 4 * n, *v = work + 5 * n;
    double log_beta1 = log(beta1), log_beta2 = log(beta2);
    int now = 0, best = -1, g_now = 0;
    int status = MAXITER;
    int64_t t = 0;

    memset(m, 0, 2 * (size_t)n * sizeof *m);
    *best_f = INFINITY;
    for (;;) {
        double f = rosenbrock(n, xs[now], gs[g_now]);
        double g_max = max_abs(n, gs[g_now]);
        double *g = gs[g_now];

        if (!isfinite(f) || !isfinite(g_max)) {
            status = NOT_FINITE;
            break;
        }
        if (f < *best_f) {
            *best_f = f;
            best = now;
            g_now = 1 - g_now;
        }
        if (g_max <= gtol) {
            status = CONVERGED;
            break;
        }
        if (t == maxiter)
            break;
        t++;

        int next = now == 0 || best == 0 ? (now == 1 || best == 1 ? 2 : 1) : 0;
        adam_step(n, xs[now], xs[next], g, m, v, 1.0 - beta1, 1.0 - beta2,
                  learning_rate / bias_correction((double)t, log_beta1),
                  1.0 / sqrt(bias_correction((double)t, log_beta2)), eps);
        now = next;
    }
    if (best >= 0)
        memcpy(best_x, xs[best], (size_t)n * sizeof *best_x);
    if (now != 0)
        memcpy(x, xs[now], (size_t)n * sizeof *x);
    *nit = t;
    return status;
}
